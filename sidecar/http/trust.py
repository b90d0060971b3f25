"""Who is believed: headers that a proxy in front of the sidecar sets count only if they come from one.

That is from a Unix socket, which file permissions guard, or from an address in SIDECAR_TRUSTED_PROXIES. From anybody
else they are removed before anything reads them, so nothing behind this module has to ask again. gunicorn has a rule of
its own (`forwarded_allow_ips`), which has no effect here: `sidecar.server.gunicorn_conf` gives it no headers.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, TypeAlias

from sidecar.http.middleware import StartResponse, Wsgi
from sidecar.observability.logging import log

Network: TypeAlias = IPv4Network | IPv6Network

_CLAIMS: Final = (
    # By which a proxy speaks for others: RFC 7239 and the older X- headers.
    *("HTTP_X_FORWARDED_", "HTTP_X_SIDECAR_", "HTTP_X_REQUEST_ID", "HTTP_FORWARDED"),
    # Traces: W3C, AWS X-Ray, B3. A stranger could have every request of theirs recorded, at the operator's cost, and
    # put spans into traces of others (W3C Trace Context §7.2, "Denial of service").
    *("HTTP_TRACEPARENT", "HTTP_TRACESTATE", "HTTP_X_AMZN_TRACE_ID", "HTTP_B3", "HTTP_X_B3_"),
)
"""Beginnings of headers that only a proxy may set."""
_HANDOVER: Final = "HTTP_X_SIDECAR_HANDOVER"
_REMEMBERED: Final = 4096
"""How many peers' addresses are kept with their answer."""
_PAUSE: Final = 60.0
"""Seconds between two warnings."""


class Channel:
    """Which peers are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(each) for each in networks]
        self._lists = lru_cache(_REMEMBERED)(lambda address: listed(address, self._networks))

    def is_trusted(self, environ: dict[str, Any]) -> bool:
        """Report whether the peer of a connection may speak for others."""
        connection = environ.get("gunicorn.socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            return True
        # RFC 3875 §4.1.8: every server states it. Without, the caller is within this process, as in tests.
        return self._lists(str(environ.get("REMOTE_ADDR", "127.0.0.1")))


class TrustedOnly:
    """A WSGI application around another, which sees a proxy's headers only if a proxy has set them."""

    def __init__(self, app: Wsgi, networks: Iterable[str]) -> None:
        self._app = app
        self._channel = Channel(networks)
        self._warned = float("-inf")

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the inner application does."""
        claims = [name for name in environ if name.startswith(_CLAIMS)]
        if claims and not self._channel.is_trusted(environ):
            if _HANDOVER in claims:
                self._warn(environ)
            for name in claims:
                del environ[name]
        return self._app(environ, start_response)

    def _warn(self, environ: dict[str, Any]) -> None:
        """Log that an nginx site may have been forgotten in the settings, or that somebody tries."""
        now = time.monotonic()
        if now - self._warned >= _PAUSE:
            self._warned = now
            log.warning(
                "X-Sidecar-Handover was ignored: SIDECAR_TRUSTED_PROXIES does not name this address",
                address=environ.get("REMOTE_ADDR"),
            )


def listed(address: str, networks: Sequence[Network]) -> bool:
    """Report whether an address lies in one of the networks; an IPv4 address in an IPv6 one counts as itself."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    # RFC 4291 §2.5.5.2: what a socket for both families shows of an IPv4 peer.
    inner = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((inner or found) in network for network in networks)
