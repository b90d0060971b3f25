"""Streams Cantaloupe's answer if no nginx site stands in front to do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import falcon
import urllib3

from sidecar.http.client import BEHIND, raw_target
from sidecar.observability.event import event_of

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


class CantaloupeProxy:
    """Asks a Cantaloupe for the response to a request."""

    def __init__(self, url: str) -> None:
        base = urllib3.util.parse_url(url)
        timeout = urllib3.Timeout(connect=5, read=300)
        self._path = (base.path or "").rstrip("/")
        self._pool = urllib3.connection_from_url(
            f"{base.scheme or 'http'}://{base.netloc}", maxsize=32, timeout=timeout, retries=False
        )

    def answer(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stream its response to a request, unchanged but for what concerns the connection alone.

        Escapes in the path may be written otherwise (`%2f` as `%2F`), which means the same (RFC 3986 §6.2.2.1).
        """
        if _VIA in (req.get_header("Via") or ""):
            _bad_gateway(resp, "SIDECAR_CANTALOUPE_URL leads back to the sidecar")
            return
        try:
            reply = self._pool.urlopen(
                req.method,
                self._path + raw_target(req),
                body=_body(req),
                headers=_onward(req),
                preload_content=False,
                decode_content=False,
                redirect=False,
            )
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


def _onward(req: falcon.Request) -> dict[str, str]:
    """Return the request's headers as they go on to Cantaloupe."""
    dropped = _hop_by_hop(req.get_header("Connection")) | {BEHIND.lower()}
    headers = {name: value for name, value in req.headers.items() if name.lower() not in dropped}
    via, peer = req.get_header("Via"), req.get_header("X-Forwarded-For")
    headers["VIA"] = f"{via}, {_VIA}" if via else _VIA
    headers["X-FORWARDED-FOR"] = f"{peer}, {req.remote_addr}" if peer else req.remote_addr
    return headers


def _body(req: falcon.Request) -> Iterable[bytes] | None:
    """Return the request's body, if it has one (RFC 9112 §6.3), to be sent on in chunks if it came so."""
    if req.content_length:
        return req.bounded_stream
    # gunicorn takes the chunks apart and ends the stream with the last of them; urllib3 makes new ones.
    return iter(lambda: req.stream.read(_CHUNK), b"") if req.get_header("Transfer-Encoding") else None


def _hop_by_hop(connection: str | None) -> frozenset[str]:
    """Return the headers that concern one connection: those that always do, and those that its `Connection` names."""
    return _HOP_BY_HOP | {part.strip().lower() for part in (connection or "").split(",")}


def _bad_gateway(resp: falcon.Response, text: str) -> None:
    resp.status = falcon.HTTP_502
    resp.content_type = "text/plain;charset=utf-8"
    resp.text = f"502 Bad Gateway\n\n{text}\n"
    resp.set_header("Cache-Control", "no-cache, must-revalidate")
