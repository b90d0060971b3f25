"""From errors to responses: what may be handed over goes to Cantaloupe, the client gets a problem text for the rest."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import falcon

from sidecar.errors import (
    BadRequest,
    HandOver,
    InternalError,
    Malformed,
    NotAllowed,
    Overloaded,
    SidecarError,
    Unsupported,
    UnsupportedFormat,
)
from sidecar.http.handover import Handover, allow
from sidecar.http.site import Site
from sidecar.limits import deadline
from sidecar.observability.event import event_of
from sidecar.observability.logging import log

_LOOKED_AT: Final = ("image", "info")
"""The kinds of requests for which Cantaloupe would open the image."""
REASON: Final = "X-Sidecar-Reason"
"""The response header that says why a request was handed over or refused; behind nginx a handover does not show it."""


class ErrorResponder:
    """Falcon's error handlers."""

    def __init__(self, site: Site, handover: Handover) -> None:
        self._site = site
        self._handover = handover

    def expected(
        self, req: falcon.Request, resp: falcon.Response, error: SidecarError, params: dict[str, object]
    ) -> None:
        """Answer for all of `SidecarError`."""
        error = self._refusal(req, error, params) or error
        # Cantaloupe has its own time to begin.
        deadline.begin_response(req.env)
        event = event_of(req.env)
        event.reason = error.reason
        event.failed = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.status != HTTPStatus.NOT_IMPLEMENTED
        event.details["problem"] = str(error)
        _clear(resp)
        if isinstance(error, HandOver):
            event.not_ours = True
            if self._handover.take(req, resp):
                event.kind = "handover"
                resp.set_header(REASON, error.reason)
                return
        resp.set_header(REASON, error.reason)
        if req.method == "OPTIONS" and isinstance(error, HandOver):
            allow(resp)
        else:
            explain(resp, error, event.id)

    def unforeseen(
        self, req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, object]
    ) -> None:
        """Answer for any other exception: it is logged with its traceback, and the request is handed over."""
        log.error("a request failed unexpectedly", path=req.path, exc_info=error)
        event = event_of(req.env)
        if event.body is not None:
            event.body.close()
        self.expected(req, resp, InternalError(f"{type(error).__name__}: {error}"), params)

    def _refusal(self, req: falcon.Request, error: SidecarError, params: dict[str, object]) -> Malformed | None:
        """Return the reason not to hand a request over: the image is malformed, whatever is asked of it."""
        if not isinstance(error, BadRequest | Unsupported | UnsupportedFormat):
            return None
        if event_of(req.env).kind not in _LOOKED_AT:
            return None
        try:
            self._site.service.refuse_malformed(self._site.syntax.name(str(params["identifier"])))
        except Malformed as malformed:
            return malformed
        except SidecarError:
            return None
        return None


def _clear(resp: falcon.Response) -> None:
    """Remove what was set for a response that is not sent: its validators and how long to keep it."""
    resp.text = resp.data = resp.stream = None
    for name in [*resp.headers]:
        resp.delete_header(name)


def explain(resp: falcon.Response, error: SidecarError, request_id: str) -> None:
    """Answer with a problem text and the right status, as plain as Cantaloupe's own error pages.

    A text that may name files, hosts or buckets is not shown: it is in the log, under the id of the request.
    """
    status = HTTPStatus(error.status)
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = "text/plain;charset=utf-8"
    problem = f"{error.public}; the log has the details of request {request_id}" if error.public else str(error)
    resp.text = f"{status.value} {status.phrase}\n\n{problem}\n"
    resp.set_header("Cache-Control", "no-cache, must-revalidate")
    resp.set_header("Access-Control-Allow-Origin", "*")
    if isinstance(error, Overloaded):
        resp.set_header("Retry-After", "5")
    if isinstance(error, NotAllowed):
        resp.set_header("Allow", "GET, HEAD, OPTIONS")
