"""The one place that gives a request to Cantaloupe, and tells why.

Behind our nginx site an `X-Accel-Redirect` to a named location does it: method, headers, query and percent-encoding
stay as they came and no byte passes through Python. Elsewhere the answer is streamed from SIDECAR_CANTALOUPE_URL. Where
there is no Cantaloupe at all, the sidecar says itself what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

import falcon
import urllib3

from sidecar import deadline, telemetry
from sidecar.errors import Elsewhere, NotAllowed, Overloaded, SidecarError

BEHIND: Final = "X-Sidecar-Handover"
"""The request header by which our nginx site says that it stands in front."""

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


class Handover:
    """Falcon's error handler for all of `SidecarError`."""

    def __init__(self, cantaloupe_url: str) -> None:
        self._cantaloupe = Cantaloupe(cantaloupe_url) if cantaloupe_url else None

    def __call__(
        self, req: falcon.Request, resp: falcon.Response, error: SidecarError, _params: dict[str, object]
    ) -> None:
        """Hand over what may be handed over; tell the rest to the client."""
        # Cantaloupe has its own time to begin.
        deadline.begun(req.env)
        event = telemetry.of(req.env)
        event.reason = error.reason
        event.details["problem"] = str(error)
        _clear(resp)
        if not isinstance(error, Elsewhere):
            explain(resp, error)
            return
        telemetry.HANDOVERS.labels(error.reason).inc()
        if behind_nginx(req):
            event.kind = "handover"
            resp.status = falcon.HTTP_200
            resp.set_header("X-Accel-Redirect", "@cantaloupe")
        elif self._cantaloupe is not None:
            event.kind = "handover"
            self._cantaloupe.answer(req, resp)
        elif req.method == "OPTIONS":
            allow(resp)
        else:
            explain(resp, error)


def unforeseen(req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, object]) -> None:
    """Falcon's error handler for what nobody foresaw: told in the log with its traceback, and kept by no cache."""
    event = telemetry.of(req.env)
    event.reason = "crash"
    telemetry.log.error("a request failed in a way that nobody foresaw", exc_info=error)
    if event.body is not None:
        event.body.close()
    _clear(resp)
    explain(resp, SidecarError("the sidecar failed; its log says more"))


def _clear(resp: falcon.Response) -> None:
    """Take back what was said of an answer that is not given: its validators and how long to keep it."""
    resp.text = resp.data = resp.stream = None
    for name in [*resp.headers]:
        resp.delete_header(name)


def behind_nginx(req: falcon.Request) -> bool:
    """Whether our nginx site stands in front, and so a Cantaloupe behind."""
    return bool(req.get_header(BEHIND) == "nginx")


def explain(resp: falcon.Response, error: SidecarError) -> None:
    """A problem text with the right status, as plain as Cantaloupe's own error pages."""
    status = HTTPStatus(error.status)
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = "text/plain;charset=utf-8"
    resp.text = f"{status.value} {status.phrase}\n\n{error}\n"
    resp.set_header("Cache-Control", "no-cache, must-revalidate")
    resp.set_header("Access-Control-Allow-Origin", "*")
    if isinstance(error, Overloaded):
        resp.set_header("Retry-After", "5")
    if isinstance(error, NotAllowed):
        resp.set_header("Allow", "GET, HEAD, OPTIONS")


def allow(resp: falcon.Response) -> None:
    """The answer to OPTIONS where no Cantaloupe gives it."""
    resp.status = falcon.HTTP_204
    resp.set_header("Allow", "GET, HEAD, OPTIONS")
    resp.set_header("Access-Control-Allow-Origin", "*")
    resp.set_header("Access-Control-Allow-Headers", "Authorization")


class Cantaloupe:
    """A Cantaloupe that is asked directly, where no nginx of ours can do it."""

    def __init__(self, url: str) -> None:
        base = urllib3.util.parse_url(url)
        timeout = urllib3.Timeout(connect=5, read=300)
        self._path = (base.path or "").rstrip("/")
        self._pool = urllib3.connection_from_url(
            f"{base.scheme or 'http'}://{base.netloc}", maxsize=32, timeout=timeout, retries=False
        )

    def answer(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stream its answer to a request, unchanged but for what concerns the connection alone.

        Escapes in the path may be written otherwise (`%2f` as `%2F`), which means the same (RFC 3986 §6.2.2.1).
        """
        if _VIA in (req.get_header("Via") or ""):
            _unreachable(resp, "SIDECAR_CANTALOUPE_URL leads back to the sidecar")
            return
        try:
            reply = self._pool.urlopen(
                req.method,
                self._path + target(req),
                body=_body(req),
                headers=_onward(req),
                preload_content=False,
                decode_content=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            _unreachable(resp, f"Cantaloupe does not answer: {error}")
            return
        resp.status = falcon.code_to_http_status(reply.status)
        if reply.status not in (204, 304) or "Content-Type" in reply.headers:
            resp.content_type = reply.headers.get("Content-Type", "application/octet-stream")
        for name, value in reply.headers.items():
            if name.lower() not in _private(reply.headers.get("Connection")) | {"content-type"}:
                resp.append_header(name, value)
        if req.method == "HEAD" or resp.status_code in (204, 304):
            # Falcon never closes the stream of an answer without a body.
            reply.release_conn()
        else:
            resp.stream = telemetry.of(req.env).body = Relay(reply)


class Relay:
    """The chunks of Cantaloupe's answer; closing it gives the connection back."""

    def __init__(self, reply: urllib3.BaseHTTPResponse) -> None:
        self._reply = reply
        self._chunks: Iterator[bytes] = reply.stream(_CHUNK, decode_content=False)

    def __iter__(self) -> Iterator[bytes]:
        """The chunks, once."""
        return self

    def __next__(self) -> bytes:
        """The next chunk; an answer that breaks off there breaks off here."""
        return next(self._chunks)

    def close(self) -> None:
        """Give the connection back where it was read to its end, else drop it."""
        self._reply.close()
        self._reply.release_conn()


def _onward(req: falcon.Request) -> dict[str, str]:
    """The request's headers as they go on to Cantaloupe."""
    dropped = _private(req.get_header("Connection")) | {BEHIND.lower()}
    headers = {name: value for name, value in req.headers.items() if name.lower() not in dropped}
    via, peer = req.get_header("Via"), req.get_header("X-Forwarded-For")
    headers["VIA"] = f"{via}, {_VIA}" if via else _VIA
    headers["X-FORWARDED-FOR"] = f"{peer}, {req.remote_addr}" if peer else req.remote_addr
    return headers


def _body(req: falcon.Request) -> Iterable[bytes] | None:
    """The request's body, where it has one (RFC 9112 §6.3), to be sent on in chunks if it came so."""
    if req.content_length:
        return req.bounded_stream
    # gunicorn takes the chunks apart and ends the stream with the last of them; urllib3 makes new ones.
    return iter(lambda: req.stream.read(_CHUNK), b"") if req.get_header("Transfer-Encoding") else None


def _private(connection: str | None) -> frozenset[str]:
    """The headers that concern one connection: those that always do, and those that its `Connection` names."""
    return _HOP_BY_HOP | {part.strip().lower() for part in (connection or "").split(",")}


def target(req: falcon.Request) -> str:
    """Path and query as they stood on the request line, where gunicorn keeps that: percent-encoded."""
    raw = str(req.env.get("RAW_URI", req.relative_uri))
    # RFC 9112 §3.2.2: the absolute form is for proxies, but must be understood.
    return raw if raw.startswith("/") else "/" + raw.partition("://")[2].partition("/")[2]


def _unreachable(resp: falcon.Response, text: str) -> None:
    resp.status = falcon.HTTP_502
    resp.content_type = "text/plain;charset=utf-8"
    resp.text = f"502 Bad Gateway\n\n{text}\n"
    resp.set_header("Cache-Control", "no-cache, must-revalidate")
