"""What clients get to read of errors: nothing of what lies behind, and an id by which the log has it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

import falcon.testing
import pytest
import sidecar_azure
import sidecar_gcs
import sidecar_http
import sidecar_s3
import structlog
from sidecar_azure.settings import AzureSettings
from sidecar_gcs.settings import GcsSettings
from sidecar_http.settings import HttpSettings
from sidecar_s3.settings import S3Settings

from sidecar import errors
from sidecar.config import Settings
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.plugin import Blob, Config, Section, Source
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, RawEncoderFactory

INSIDE = "/srv/vault/a.jp2 at http://user:pw@store.internal/vault?sig=1"
BEHIND = [
    errors.DecodeError,
    errors.EncodeError,
    errors.InternalError,
    errors.Malformed,
    errors.PluginFailure,
    errors.SourceChanged,
    errors.SourceError,
    errors.SourceTimeout,
]
"""Errors whose texts come from libraries, systems and storages."""


class Failing:
    """A source that raises an error."""

    name = "failing"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def find(self, _identifier: str) -> Blob | None:
        """Raise it."""
        raise self._error

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def app() -> Iterator[Callable[[Source], Wsgi]]:
    """Yield a function that makes a sidecar with a source and no Cantaloupe."""
    native = NativePool(1)
    encoders = {"raw": RawEncoderFactory()}
    yield lambda source: create_app(Config.of(Settings()), Registry([source], [GradientDecoder()], encoders), native)
    native.close()


def ask(app: Wsgi) -> falcon.testing.Result:
    """Request info.json."""
    return falcon.testing.simulate_get(app, "/iiif/3/a.jp2/info.json")


@pytest.mark.parametrize("error", [*(kind(INSIDE) for kind in BEHIND), OSError(INSIDE), ValueError(INSIDE)], ids=repr)
def test_texts_of_what_lies_behind_are_for_the_log(app: Callable[[Source], Wsgi], error: Exception) -> None:
    """The client reads a sentence and an id. The log has the text under that id."""
    with structlog.testing.capture_logs() as lines:
        answer = ask(app(Failing(error)))
    assert not any(word in answer.text for word in ("srv", "vault", "store", "user", "sig", "Error("))
    request_id = answer.headers["x-request-id"]
    assert f"request {request_id}" in answer.text
    (line,) = (line for line in lines if line["event"] == "request")
    assert line["id"] == request_id
    assert "vault" in line["problem"] or isinstance(error, OSError | ValueError)


def test_texts_about_the_request_are_shown(app: Callable[[Source], Wsgi]) -> None:
    """What is wrong with a request is said to the client."""
    assert "only for today" in ask(app(Failing(errors.Unsupported("only for today")))).text


@pytest.mark.parametrize(
    "plugin, settings",
    [
        (sidecar_http, partial(HttpSettings, attempts=1)),
        (sidecar_s3, partial(S3Settings, bucket="vault", anonymous=True, attempts=1)),
        (sidecar_azure, partial(AzureSettings, container="vault", sas="sig=1", attempts=1)),
        (sidecar_gcs, partial(GcsSettings, bucket="vault", anonymous=True, attempts=1)),
    ],
    ids=["http", "s3", "azure", "gcs"],
)
def test_a_storage_that_is_down_is_not_named(
    app: Callable[[Source], Wsgi], plugin: ModuleType, settings: Callable[..., Section]
) -> None:
    """Neither host nor port, bucket, prefix, address or signature."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://localhost:{port}"
    given = settings(url_prefix=f"{url}/vault/") if plugin is sidecar_http else settings(endpoint=url)
    (source,) = plugin.register_sources(Config.of(given))
    answer = ask(app(source))
    assert answer.status_code == 502
    assert not any(word in answer.text for word in ("localhost", "127.0.0.1", str(port), "vault", "sig"))
