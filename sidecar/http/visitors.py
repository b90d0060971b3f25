"""Who may see the pages at `/sidecar/`: whoever asks this port directly, from an address that is listed.

The pages show identifiers, clients and settings, so a site in front must not pass them on, not even by mistake: a
request that came through a proxy is refused, whoever it is from. Names of hosts are refused too, `localhost` aside: to
a stranger's page in the browser of somebody who may see ours, a name of the stranger's own that leads here would be the
same origin (DNS rebinding).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import falcon

from sidecar.errors import NotShown
from sidecar.http.trust import listed

_PROXIED: Final = ("X-FORWARDED-", "X-SIDECAR-", "X-REAL-IP", "FORWARDED", "VIA")
"""Beginnings of the headers that a proxy adds."""
# Strict: pages load what this port serves, nothing runs that is not a file, and nobody frames them (CSP level 3).
# Pictures from memory: tiles that the viewer's script has fetched, to read their headers.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Visitors:
    """Which clients see the pages."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ValueError if one is no network."""
        self._networks = [ip_network(each) for each in networks]

    def check(self, req: falcon.Request) -> None:
        """Raise NotShown to everybody else."""
        connection = req.env.get("gunicorn.socket")
        is_local = connection is not None and connection.family == socket.AF_UNIX
        # RFC 3875 §4.1.8: every server states it. Without, the caller is within this process, as in tests.
        address = str(req.env.get("REMOTE_ADDR", "127.0.0.1"))
        if not is_local and not listed(address, self._networks):
            raise NotShown(f"{address} is not in SIDECAR_STATUS_NETWORKS")
        if any(name.startswith(_PROXIED) for name in map(str.upper, req.headers)):
            raise NotShown("the status page is not shown through a proxy; ask the sidecar's own port")
        if not _is_address(req.get_header("Host") or ""):
            raise NotShown("ask by address, as http://127.0.0.1:8183/sidecar/, or by the name localhost")


def protect(resp: falcon.Response, policy: str = _POLICY) -> None:
    """Set the headers that keep a page from doing what it is not made for."""
    resp.set_header("Content-Security-Policy", policy)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")
    resp.set_header("Cross-Origin-Resource-Policy", "same-origin")
    resp.set_header("Cache-Control", "no-store")


def _is_address(host: str) -> bool:
    """Report whether a Host header has an address, or a name that leads to this machine only (RFC 6761 §6.3)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or bool(ip_address(name))
    except ValueError:
        return False
