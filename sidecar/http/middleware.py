"""What stands around the resources: within Falcon the route and the method, around it accounts.

`Observed` is outermost but for `sidecar.http.trust`, since a response's true end is seen only there: the last chunk
taken, or the client gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import falcon

from sidecar.errors import BadRequest, NotAllowed
from sidecar.http.account import Account
from sidecar.http.client import raw_target
from sidecar.http.explanation import explained
from sidecar.observability.event import event_of
from sidecar.observability.logging import log
from sidecar.observability.metrics import IN_FLIGHT
from sidecar.observability.request_book import RequestBook

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Explains = Callable[[dict[str, Any]], bool]


class RawPath:
    """Routes by the path as it came: percent-encoded, so that `%2F` inside an identifier stays inside."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Take the path from RAW_URI, which gunicorn keeps as it was on the request line."""
        if "RAW_URI" in req.env:
            req.path = raw_target(req).partition("?")[0]


class ReadOnly:
    """Lets GET and HEAD in; other methods are Cantaloupe's."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Raise NotAllowed for other methods."""
        if req.method not in ("GET", "HEAD"):
            event_of(req.env).kind = "method"
            raise NotAllowed(f"{req.method} is not supported; GET and HEAD are")


class Kind:
    """Names the kind of a request in its log line, metrics and trace, by the resource that answers."""

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Take the kind from the resource, and what the path has in the template's places."""
        event = event_of(req.env)
        event.kind = getattr(resource, "kind", "other")
        event.route = req.uri_template or ""
        event.parameters = {name: str(value) for name, value in params.items()}


class AsciiOnly:
    """Leaves URLs with bytes outside of ASCII to Cantaloupe, which reads them in a way of its own.

    Once the identifier is known, so that a malformed image is refused here as in any other request.
    """

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, _resource: object, _params: dict[str, Any]
    ) -> None:
        """Raise BadRequest for such a URL (RFC 3986 §2.1)."""
        if not str(req.env.get("RAW_URI", "")).isascii():
            raise BadRequest("the URL has bytes outside of ASCII, which belong percent-encoded")


class ClosingIterator:
    """The chunks of a response; `close` closes them and then does what else there is to do."""

    def __init__(self, chunks: Iterable[bytes], closed: Callable[[], None]) -> None:
        self._chunks, self._closed = chunks, closed
        self._rest = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._rest)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._closed()


class Observed:
    """A WSGI application around another that counts and logs each request when it is really over."""

    def __init__(self, app: Wsgi, book: RequestBook | None = None, explains: Explains = lambda _: False) -> None:
        """`book`: where requests are written down for the status page.

        `explains`: whether the response to a request says who answered and why, and how long the stages took.
        """
        self._app = app
        self._book = book or RequestBook()
        self._explains = explains

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the inner application does."""
        account = Account(environ, self._book)
        explains = self._explains(environ)

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            account.status = int(status[:3])
            more = [*explained(account.event)] if explains else []
            return start_response(status, [*headers, *more, ("X-Request-Id", account.event.id)], *rest)

        IN_FLIGHT.inc()
        try:
            return _Counted(self._app(environ, started), account)
        except BaseException:
            # Made, but never handed out to be closed: a server may refuse a header in start_response.
            if account.event.body is not None:
                account.event.body.close()
            account.settle("crash")
            raise


class _Counted(ClosingIterator):
    """The chunks of a response, counted. `close` is the end, however it came."""

    def __init__(self, chunks: Iterable[bytes], account: Account) -> None:
        # The account's own method: one of this object would make a cycle, which only the collector could free.
        super().__init__(chunks, account.close)
        self._account = account

    def __next__(self) -> bytes:
        try:
            chunk = next(self._rest)
        except StopIteration:
            self._account.complete = True
            raise
        except Exception as error:
            self._account.settle(getattr(error, "reason", "crash"))
            if not isinstance(error, ConnectionError):
                log.warning("response broke off", error=str(error), kind=type(error).__name__)
            raise
        self._account.count(chunk)
        return chunk
