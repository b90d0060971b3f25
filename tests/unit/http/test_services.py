"""Services that info.json names on the word of an authorization service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import falcon.testing
import pytest

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

OLD: Final = {"@context": "http://iiif.io/api/auth/1/context.json", "@id": "https://a/login", "profile": "…/login"}
NEW: Final = {
    "@context": "http://iiif.io/api/auth/2/context.json",
    "id": "https://a/probe",
    "type": "AuthProbeService2",
}

Info = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def info() -> Iterator[Info]:
    """Yield a function that asks for info.json."""
    native = NativePool(1)
    source = MemorySource({"x.gradient": MemoryBlob("x.gradient", gradient(200, 100))})
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})

    def ask(header: str | None, *, enabled: bool = True, peer: str = "127.0.0.1") -> falcon.testing.Result:
        app = create_app(Config.of(Settings(info_services=enabled)), registry, native)
        headers = {} if header is None else {"X-Sidecar-Services": header}
        path = "/iiif/3/x.gradient/info.json"
        return falcon.testing.simulate_get(app, path, headers=headers, extras={"REMOTE_ADDR": peer})

    yield ask
    native.close()


def test_services_are_named(info: Info) -> None:
    """Those in the style of version 3 give their context to the document, before its own; the others keep theirs."""
    content: dict[str, Any] = info(json.dumps([OLD, NEW])).json
    own = info(None).json["@context"]
    assert content["@context"] == [NEW["@context"], own]
    assert content["service"] == [OLD, {k: v for k, v in NEW.items() if k != "@context"}]


def test_other_services_make_another_document(info: Info) -> None:
    """The ETag is of what is sent, so a client that has logged in gets what it may see now."""
    assert info(json.dumps([OLD])).headers["etag"] != info(None).headers["etag"]


@pytest.mark.parametrize("header", [None, "", "[]", "nonsense", "1", '["a"]', "null", "[" * 5000])
def test_what_is_no_list_of_services_is_left_out(info: Info, header: str | None) -> None:
    """The document is then what it is without."""
    assert info(header).json == info(None).json


@pytest.mark.parametrize("how", [{"enabled": False}, {"peer": "203.0.113.9"}])
def test_nobody_else_names_services(info: Info, how: dict[str, Any]) -> None:
    """Neither a client on the sidecar's own port, nor one behind an nginx without auth-location.conf."""
    assert "service" not in info(json.dumps([OLD]), **how).json
