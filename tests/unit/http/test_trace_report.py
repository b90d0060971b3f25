"""What the span of a request states: every attribute of the table in the docs, and no other."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from sidecar.http.trace_report import ATTRIBUTES, report
from sidecar.observability.event import Event

ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/iiif/3/a%2Fb.jp2/full/max/0/default.jpg?token=secret",
    "wsgi.url_scheme": "http",
    "SERVER_NAME": "images.example",
    "REMOTE_ADDR": "192.0.2.7",
    "HTTP_USER_AGENT": "viewer",
}


def event(**details: str | int) -> Event:
    """A request for a picture."""
    made = Event(kind="image", route="/iiif/{version:int(1)}/{identifier}/{quality_format}", details={**details})
    made.parameters = {
        "version": "3",
        "identifier": "a%2Fb.jp2",
        "region": "full",
        "size": "max",
        "rotation": "0",
        "quality_format": "default.jpg",
    }
    return made


def test_every_attribute() -> None:
    """A picture with all that can be known of it has what the table has; the tracer adds the type of an error."""
    full = event(size="10x10", bands=1, decoded_for=3, stored=False, shared=False)
    work = full.work
    work.source, work.decoder, work.encoder, work.read, work.size = "s3", "jp2", "jpg", 100, 1000
    work.tally("jp2_cut", 1)
    found = report(ENVIRON, full, 200, 5, "crash")
    stated = {"sidecar.count.*" if name.startswith("sidecar.count.") else name for name in found.attributes}
    assert stated | {"error.type"} == set(ATTRIBUTES)
    assert found.name == "GET /iiif/{version}/{identifier}/{quality_format}"
    assert found.attributes["iiif.identifier"] == "a/b.jp2"
    assert found.attributes["sidecar.count.jp2_cut"] == 1
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    "status, broken, error",
    [
        (HTTPStatus.OK, "", ""),
        (HTTPStatus.OK, "client-gone", ""),
        (HTTPStatus.OK, "decode", "decode"),
        (HTTPStatus.NOT_FOUND, "", ""),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "", "500"),
    ],
)
def test_what_is_an_error(status: HTTPStatus, broken: str, error: str) -> None:
    """A failure of the server's has a type; what the client did or asked for has none."""
    assert report(ENVIRON, event(), int(status), 0, broken).error == error
