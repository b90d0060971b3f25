"""Streams Cantaloupe's answer if no nginx site stands in front to do it.

Connections to Cantaloupe are bounded, and so are the bodies on their way to it (`sidecar.http.bodies`).
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import falcon
import urllib3

from sidecar.http.bodies import Bodies, BodyRefused
from sidecar.http.client import BEHIND, raw_target
from sidecar.observability.event import event_of
from sidecar.observability.tracing import carriers, onward, span

_VIA: Final = "1.1 iiif-sidecar"
# RFC 9110 §7.6.1: these are between neighbours and go no further.
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CHUNK: Final = 64 * 1024
_PATIENCE: Final = 5
"""Seconds that a request waits for one of the connections."""


class CantaloupeProxy:
    """Asks a Cantaloupe for the response to a request."""

    def __init__(self, url: str, bodies: Bodies, connections: int) -> None:
        """`connections`: to Cantaloupe, at once."""
        self._bodies = bodies
        base = urllib3.util.parse_url(url)
        timeout = urllib3.Timeout(connect=5, read=300)
        self._path = (base.path or "").rstrip("/")
        self._pool = urllib3.connection_from_url(
            f"{base.scheme or 'http'}://{base.netloc}", maxsize=connections, block=True, timeout=timeout, retries=False
        )

    def answer(self, req: falcon.Request, resp: falcon.Response, target: str = "") -> None:
        """Stream its response to a request, unchanged but for what concerns the connection alone.

        `target`: path and query to ask for, if not those of the request.

        Escapes in the path may be written otherwise (`%2f` as `%2F`), which means the same (RFC 3986 §6.2.2.1).
        """
        if _VIA in (req.get_header("Via") or ""):
            _bad_gateway(resp, "SIDECAR_CANTALOUPE_URL leads back to the sidecar")
            return
        try:
            with self._bodies.whole(req) as body, span("proxy"):
                reply = self._ask(req, body, target or raw_target(req))
        except BodyRefused as refused:
            event_of(req.env).reason = refused.reason
            _refuse(resp, refused.status, str(refused))
            return
        except urllib3.exceptions.EmptyPoolError:
            text = "every connection to Cantaloupe is in use; try again later"
            _refuse(resp, HTTPStatus.SERVICE_UNAVAILABLE, text)
            return
        except urllib3.exceptions.HTTPError as error:
            event_of(req.env).details["problem"] = f"Cantaloupe does not answer: {error}"
            _bad_gateway(resp, "Cantaloupe does not answer")
            return
        resp.status = falcon.code_to_http_status(reply.status)
        if reply.status not in (204, 304) or "Content-Type" in reply.headers:
            resp.content_type = reply.headers.get("Content-Type", "application/octet-stream")
        for name, value in reply.headers.items():
            # X-Accel-*: orders to an nginx in front, which are not Cantaloupe's to give.
            dropped = _hop_by_hop(reply.headers.get("Connection")) | {"content-type"}
            if name.lower() not in dropped and not name.lower().startswith("x-accel-"):
                resp.append_header(name, value)
        if req.method == "HEAD" or resp.status_code in (204, 304):
            # Falcon never closes the stream of a response without a body.
            reply.release_conn()
        else:
            resp.stream = event_of(req.env).body = Relay(reply)

    def _ask(self, req: falcon.Request, body: bytes | None, target: str) -> urllib3.BaseHTTPResponse:
        return self._pool.urlopen(
            req.method,
            self._path + target,
            body=body,
            headers=_onward(req, body),
            preload_content=False,
            decode_content=False,
            redirect=False,
            pool_timeout=_PATIENCE,
        )


class Relay:
    """The chunks of Cantaloupe's response; closing it returns the connection."""

    def __init__(self, reply: urllib3.BaseHTTPResponse) -> None:
        self._reply = reply
        self._chunks: Iterator[bytes] = reply.stream(_CHUNK, decode_content=False)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk; a response that breaks off there breaks off here."""
        return next(self._chunks)

    def close(self) -> None:
        """Return the connection if it was read to its end, else drop it."""
        self._reply.close()
        self._reply.release_conn()


def _onward(req: falcon.Request, body: bytes | None) -> dict[str, str]:
    """Return the request's headers as they go on to Cantaloupe; a body that came in chunks has a length now."""
    dropped = _hop_by_hop(req.get_header("Connection")) | {BEHIND.lower()} | carriers()
    headers = {name: value for name, value in req.headers.items() if name.lower() not in dropped}
    headers |= {name.upper(): value for name, value in onward().items()}
    via, peer = req.get_header("Via"), req.get_header("X-Forwarded-For")
    headers["VIA"] = f"{via}, {_VIA}" if via else _VIA
    headers["X-FORWARDED-FOR"] = f"{peer}, {req.remote_addr}" if peer else req.remote_addr
    if body is not None:
        headers["CONTENT-LENGTH"] = str(len(body))
    return headers


def _hop_by_hop(connection: str | None) -> frozenset[str]:
    """Return the headers that concern one connection: those that always do, and those that its `Connection` names."""
    return _HOP_BY_HOP | {part.strip().lower() for part in (connection or "").split(",")}


def _bad_gateway(resp: falcon.Response, text: str) -> None:
    _refuse(resp, HTTPStatus.BAD_GATEWAY, text)


def _refuse(resp: falcon.Response, status: HTTPStatus, text: str) -> None:
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = "text/plain;charset=utf-8"
    resp.text = f"{status.value} {status.phrase}\n\n{text}\n"
    resp.set_header("Cache-Control", "no-cache, must-revalidate")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        resp.set_header("Retry-After", "5")
