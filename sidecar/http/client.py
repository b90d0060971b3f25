"""What is known of the client, and of what stands between it and the sidecar."""

from __future__ import annotations

import errno
import select
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import falcon
from gevent.monkey import get_original

from sidecar.errors import ClientGone
from sidecar.limits.clients import client_name
from sidecar.render.client import Client

_ASCII: Final = bytes(range(0x80))
BEHIND: Final = "X-Sidecar-Handover"
"""The request header by which the nginx site says that it stands in front."""
FRONTS: Final = ("nginx", "none")
"""Its values: nginx sends on to a Cantaloupe what is handed over; there is none."""


def client_of(req: falcon.Request) -> Client:
    """Return who waits for the response."""
    return Client(client_name(client_address(req.env)), lambda: check_connected(req))


def behind_nginx(req: falcon.Request) -> bool:
    """Report whether the nginx site stands in front, with a Cantaloupe behind (see `sidecar.http.trust`)."""
    return bool(req.get_header(BEHIND) == FRONTS[0])


def raw_target(req: falcon.Request) -> str:
    """Return path and query as they stood on the request line, if gunicorn keeps that: percent-encoded.

    Bytes above 0x7F, which stand there one character each, are encoded (RFC 3986 §2.1).
    """
    came = req.env.get("RAW_URI")
    raw = quote(req.relative_uri if came is None else str(came).encode("latin-1"), safe=_ASCII)
    # RFC 9112 §3.2.2: the absolute form is for proxies, but must be understood.
    return raw if raw.startswith("/") else "/" + raw.partition("://")[2].partition("/")[2]


def check_connected(req: falcon.Request) -> None:
    """Raise ClientGone if the connection was closed while the request waited."""
    connection = req.env.get("gunicorn.socket")
    if connection is None:
        return
    # gevent's own recv and poll would wait. POLLRDHUP: the peer has closed its side, whatever it sent before.
    poll = get_original("select", "poll")()
    poll.register(connection.fileno(), select.POLLRDHUP)
    if poll.poll(0):
        raise ClientGone(errno.ECONNRESET, "the client has disconnected")


def client_address(environ: Mapping[str, Any]) -> str:
    """Return the address of the client: behind the nginx site the last of X-Forwarded-For, which nginx adds."""
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
    behind = environ.get(f"HTTP_{BEHIND.upper().replace('-', '_')}") in FRONTS
    return forwarded if behind and forwarded else str(environ.get("REMOTE_ADDR", "127.0.0.1"))
