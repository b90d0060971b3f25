"""The line about a request: its fields, how loud it is, whose address it has, and no secrets."""

from __future__ import annotations

import json
import logging as standard
from collections.abc import Iterator
from typing import Any

import falcon.testing
import pytest

from sidecar.config import Settings
from sidecar.errors import (
    BadRequest,
    ClientGone,
    DecodeError,
    InternalError,
    Malformed,
    Overloaded,
    PluginFailure,
    SidecarError,
    SourceTimeout,
    Stalled,
    Unsupported,
)
from sidecar.http.access_line import FIELDS, level
from sidecar.http.client import client_address
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.observability import logging
from sidecar.observability.event import Event
from sidecar.observability.work import CURRENT
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

TILE = "/iiif/3/x.gradient/0,0,64,64/max/0/default.raw"


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Native threads for all tests of this file."""
    native = NativePool(1)
    yield native
    native.close()


class Failing(MemorySource):
    """A source that raises what its identifiers are named by, and counts."""

    errors: tuple[SidecarError, ...] = ()

    def find(self, identifier: str) -> MemoryBlob | None:
        """Raise the error of that name."""
        for error in self.errors:
            if identifier == type(error).__name__:
                raise type(error)(str(error))
        if work := CURRENT.get():
            work.tally("found", 1)
        return super().find(identifier)


def site(pool: NativePool, *errors: SidecarError, **settings: Any) -> Wsgi:
    """Return a sidecar with one image."""
    source = Failing({"x.gradient": MemoryBlob("x.gradient", gradient(200, 100))})
    source.errors = errors
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})
    return create_app(Config.of(Settings(**settings)), registry, pool)


def ask(app: Wsgi, path: str, capfd: pytest.CaptureFixture[str], **headers: str) -> dict[str, Any]:
    """Send a request; the line about it."""
    target = path.partition("?")
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    falcon.testing.simulate_get(app, target[0], query_string=target[2], headers=given, extras={"RAW_URI": path})
    (line,) = (line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "request")
    return dict(line)


def test_the_fields_are_those_in_the_docs(pool: NativePool, capfd: pytest.CaptureFixture[str]) -> None:
    """A picture and a refusal together have every field of the table, and no other."""
    app = site(pool)
    logging.configure("info")
    picture, refusal = ask(app, TILE, capfd), ask(app, "/iiif/3/unknown/info.json", capfd)
    assert {*picture, *refusal} - {"event", "level", "timestamp"} == set(FIELDS)
    assert (picture["outcome"], picture["decoder"], picture["encoder"]) == ("answered", "gradient", "raw")
    assert picture["stages"].keys() == {"wait", "index", "fetch", "decode", "encode"}
    assert picture["counts"] == {"found": 1}
    assert (refusal["outcome"], refusal["reason"], refusal["status"]) == ("refused", "not-found", 404)


@pytest.mark.parametrize(
    "error, alone, behind",
    [
        (BadRequest("x"), "info", "info"),
        (Unsupported("x"), "info", "info"),
        (DecodeError("x"), "error", "warning"),
        (PluginFailure("x"), "error", "warning"),
        (SourceTimeout("x"), "error", "warning"),
        (InternalError("x"), "error", "warning"),
        (Stalled("x"), "warning", "warning"),
        (Overloaded("x"), "warning", "warning"),
        (Malformed("x"), "error", "error"),
    ],
    ids=repr,
)
def test_what_failed_is_loud(
    pool: NativePool, error: SidecarError, alone: str, behind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A 500 is an error and shows at `warning`; what Cantaloupe answers in its place, a warning."""
    app = site(pool, error)
    logging.configure("info")
    path = f"/iiif/3/{type(error).__name__}/info.json"
    assert ask(app, path, capfd)["level"] == alone
    assert ask(app, path, capfd, X_Sidecar_Handover="nginx")["level"] == behind


def test_responses_that_broke_off() -> None:
    """A client that leaves is nothing to worry about; a decoder that fails half-way is."""
    assert level(Event(), 200, ClientGone.reason) == standard.INFO
    assert level(Event(), 200, DecodeError.reason) == standard.ERROR


@pytest.mark.parametrize(
    "environ, address",
    [
        ({"REMOTE_ADDR": "192.0.2.1"}, "192.0.2.1"),
        ({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "192.0.2.9"}, "192.0.2.1"),
        (
            {
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_X_FORWARDED_FOR": "spoofed, 192.0.2.9",
                "HTTP_X_SIDECAR_HANDOVER": "nginx",
            },
            "192.0.2.9",
        ),
        ({"HTTP_X_FORWARDED_FOR": "192.0.2.9", "HTTP_X_SIDECAR_HANDOVER": "none"}, "192.0.2.9"),
        ({}, "127.0.0.1"),
    ],
)
def test_the_client(environ: dict[str, str], address: str) -> None:
    """It is the peer, or behind nginx the address that nginx has added last."""
    assert client_address(environ) == address


def test_no_secrets(pool: NativePool, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a query nor a header that authenticates is in any field."""
    app = site(pool)
    logging.configure("info")
    line = ask(app, f"{TILE}?token=hunter2", capfd, Authorization="Basic aHVudGVyMg==", Cookie="hunter2")
    assert "hunter2" not in str(line)
    assert "aHVudGVyMg" not in str(line)


def test_text_for_people(pool: NativePool, capfd: pytest.CaptureFixture[str]) -> None:
    """The other form has the same fields, without colours if it does not go to a terminal."""
    app = site(pool)
    logging.configure("info", "text")
    falcon.testing.simulate_get(app, TILE)
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "request" in line)
    assert "outcome=answered" in line
    assert "\x1b" not in line


def test_a_response_explained_for_one_who_asks(pool: NativePool) -> None:
    """Who may see the status page gets it for a single request; nobody behind a proxy does."""
    app, asked = site(pool, status_networks=["127.0.0.1"]), {"X-Explain": "1", "Host": "127.0.0.1"}
    found = [
        falcon.testing.simulate_get(app, TILE, headers=headers, remote_addr=client).headers.get("x-sidecar")
        for headers, client in (
            (asked, "127.0.0.1"),
            ({"Host": "127.0.0.1"}, "127.0.0.1"),
            (asked, "192.0.2.7"),
            ({**asked, "X-Forwarded-For": "127.0.0.1"}, "127.0.0.1"),
            ({**asked, "Host": "images.example.org"}, "127.0.0.1"),
        )
    ]
    assert found == ["answered", None, None, None, None]


@pytest.mark.parametrize("explains", [False, True])
def test_a_response_explained(pool: NativePool, explains: bool) -> None:  # noqa: FBT001 - a value of a row
    """If that is set, each response says who answered and why, and how long the stages took."""
    app = site(pool, Overloaded("x"), explain_responses=explains)
    behind = {"X-Sidecar-Handover": "nginx"}
    answers = [
        falcon.testing.simulate_get(app, path, headers=behind)
        for path in (TILE, "/iiif/3/unknown/info.json", "/iiif/3/Overloaded/info.json")
    ]
    shown = [answer.headers.get("x-sidecar") for answer in answers]
    said = ["answered", "handover; reason=not-found", "refused; reason=overloaded"]
    assert shown == (said if explains else [None] * 3)
    timing = answers[0].headers.get("server-timing", "")
    assert [part.partition(";dur=")[0] for part in timing.split(", ") if part] == (
        ["wait", "index", "fetch", "decode", "encode"] if explains else []
    )
