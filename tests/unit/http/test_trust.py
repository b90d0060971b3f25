"""Who is believed: a proxy's headers count from a Unix socket and from listed addresses, and from nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Final

import falcon.testing
import pytest
import structlog

from sidecar.config import Settings
from sidecar.http.middleware import Wsgi
from sidecar.http.trust import TrustedOnly, listed
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

INFO: Final = "/iiif/3/x.gradient/info.json"
STRANGER: Final = "203.0.113.9"
FORGED: Final = {
    "X-Sidecar-Handover": "nginx",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Path": "/evil",
    "X-Forwarded-ID": "evil",
    "X-Request-ID": "chosen-by-a-client",
}


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Native threads for all tests of this file."""
    native = NativePool(1)
    yield native
    native.close()


def site(pool: NativePool, **settings: Any) -> Wsgi:
    """Return a sidecar with one image."""
    source = MemorySource({"x.gradient": MemoryBlob("x.gradient", gradient(200, 100))})
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})
    return create_app(Config.of(Settings(**settings)), registry, pool)


def ask(app: Wsgi, path: str, peer: str, **extras: Any) -> falcon.testing.Result:
    """Send a request with every header that a proxy may set, from an address."""
    extras = {"RAW_URI": path, "REMOTE_ADDR": peer, **extras}
    return falcon.testing.simulate_get(app, "/", headers=FORGED, extras=extras, host="images.example")


@pytest.mark.parametrize("path", [INFO, "/iiif/3/nothing.tif/info.json", "/elsewhere"])
def test_strangers_are_not_believed(pool: NativePool, path: str) -> None:
    """On the sidecar's own port a client gets what it would get without the headers: no handover, no foreign host."""
    answer = ask(site(pool), path, STRANGER)
    assert answer.status_code == (200 if path == INFO else 404)
    assert "x-accel-redirect" not in answer.headers
    assert answer.headers["x-request-id"] != FORGED["X-Request-ID"]
    assert "evil" not in answer.text
    if path == INFO:
        assert answer.json["id"] == "http://images.example/iiif/3/x.gradient"


@pytest.mark.parametrize(
    "peer, trusted",
    [
        ("127.0.0.1", ()),
        ("127.8.8.8", ()),
        ("::1", ()),
        ("::ffff:127.0.0.1", ()),
        (STRANGER, ("203.0.113.0/24",)),
        ("fe80::1%eth0", ("fe80::/10",)),
    ],
)
def test_listed_addresses_are_believed(pool: NativePool, peer: str, trusted: tuple[str, ...]) -> None:
    """By default that is this machine, however its address is written; a setting lists others in its place."""
    app = site(pool, **({"trusted_proxies": trusted} if trusted else {}))
    answer = ask(app, INFO, peer)
    assert answer.json["id"] == "https://evil.example/evil/iiif/3/evil"
    assert answer.headers["x-request-id"] == FORGED["X-Request-ID"]
    assert ask(app, "/elsewhere", peer).headers["x-accel-redirect"] == "@cantaloupe"


@pytest.mark.parametrize("peer, believed", [(STRANGER, False), ("127.0.0.1", True)])
def test_traces_of_strangers_end_here(peer: str, believed: bool) -> None:  # noqa: FBT001 - a value of a row
    """Headers that carry a trace are seen only if a proxy has set them."""
    seen: list[str] = []

    def inner(environ: dict[str, Any], _start_response: object) -> list[bytes]:
        seen.extend(environ)
        return []

    names = ["traceparent", "tracestate", "X-Amzn-Trace-Id", "b3", "X-B3-TraceId", "X-B3-Sampled"]
    environ = {f"HTTP_{name.upper().replace('-', '_')}": "x" for name in names}
    TrustedOnly(inner, ("127.0.0.0/8",))({**environ, "REMOTE_ADDR": peer}, lambda *_: None)
    assert (set(environ) <= set(seen), bool(set(environ) & set(seen))) == (believed, believed)


def test_a_list_takes_the_place_of_the_default(pool: NativePool) -> None:
    """Where another address is listed, this machine's own is not."""
    assert ask(site(pool, trusted_proxies=(STRANGER,)), "/elsewhere", "127.0.0.1").status_code == 404


def test_unix_sockets_are_believed(pool: NativePool) -> None:
    """Who may connect to a socket is a matter of file permissions."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answer = ask(site(pool, trusted_proxies=()), "/elsewhere", "", **{"gunicorn.socket": ours})
    assert answer.headers["x-accel-redirect"] == "@cantaloupe"


def test_a_forgotten_setting_is_logged(pool: NativePool) -> None:
    """A handover that is asked for by an address that is not listed is logged with it, once for a while."""
    app = site(pool)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            ask(app, INFO, STRANGER)
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [line["address"] for line in warnings] == [STRANGER]
    assert "SIDECAR_TRUSTED_PROXIES" in warnings[0]["event"]


@pytest.mark.parametrize("value", ["10.0.0.0/33", "proxy.example", "10.0.0.1/8"])
def test_wrong_lists_are_refused_at_start(value: str) -> None:
    """What is neither an address nor a network is an invalid setting: a name could resolve to anything."""
    with pytest.raises(ValueError, match="trusted_proxies"):
        Settings(trusted_proxies=(value,))


@pytest.mark.parametrize("address", ["", "unix", "127.0.0.1.example", "127.0.0.1:80", "127.1"])
def test_what_is_no_address_is_in_no_list(address: str) -> None:
    """Nothing that only resembles a listed address counts as one."""
    assert not listed(address, [])
