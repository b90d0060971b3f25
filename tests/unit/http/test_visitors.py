"""Who may see the sidecar's own pages: those who ask it directly, from listed addresses, by address."""

from __future__ import annotations

import socket
from typing import Any

import falcon
import falcon.testing
import pytest

from sidecar.errors import NotShown
from sidecar.http.visitors import Visitors

HOST = {"Host": "127.0.0.1:8183"}


def request(headers: dict[str, str], **environ: Any) -> falcon.Request:
    made = falcon.testing.create_environ("/sidecar/", headers=headers)
    return falcon.Request({**made, **environ})


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8183", "[::1]:8183", "localhost", "localhost:8183", "10.1.2.3", "x.localhost"]
)
def test_shown(host: str) -> None:
    """Whoever asks from this machine, by address or as localhost, sees the pages."""
    Visitors(["127.0.0.0/8", "::1"]).check(request({"Host": host}, REMOTE_ADDR="127.0.0.1"))


def test_another_network_if_listed() -> None:
    """Other addresses see them if the operator lists them, and only then."""
    req = request(HOST, REMOTE_ADDR="10.2.3.4")
    Visitors(["10.0.0.0/8"]).check(req)
    with pytest.raises(NotShown, match=r"10\.2\.3\.4 is not in SIDECAR_STATUS_NETWORKS"):
        Visitors(["127.0.0.0/8"]).check(req)


def test_nobody() -> None:
    """Without an address in the list nobody sees them."""
    with pytest.raises(NotShown):
        Visitors([]).check(request(HOST, REMOTE_ADDR="127.0.0.1"))


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Host", "X-Sidecar-Handover", "Forwarded", "Via", "X-Real-IP"]
)
def test_not_through_a_proxy(header: str) -> None:
    """A request that a proxy has passed on is refused, wherever the proxy is: a site cannot publish the pages."""
    with pytest.raises(NotShown, match="through a proxy"):
        Visitors(["127.0.0.0/8"]).check(request({**HOST, header: "127.0.0.1"}, REMOTE_ADDR="127.0.0.1"))


@pytest.mark.parametrize(
    "host", ["images.example.org", "sidecar", "127.0.0.1.example.org", "", "[::1", "localhost.evil"]
)
def test_not_by_name(host: str) -> None:
    """A name that leads here is refused, as it may be a stranger's (DNS rebinding), or an upstream's in nginx."""
    with pytest.raises(NotShown, match="by address"):
        Visitors(["127.0.0.0/8"]).check(request({"Host": host}, REMOTE_ADDR="127.0.0.1"))


def test_unix_sockets_count_as_this_machine() -> None:
    """Who may open the socket sees the pages: its permissions guard it."""
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far:
        Visitors([]).check(request(HOST, REMOTE_ADDR="", **{"gunicorn.socket": near}))
