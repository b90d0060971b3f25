"""Events in, answers out: the worker's application as a handler of AWS Lambda, by apig-wsgi."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from apig_wsgi import make_lambda_handler
from gevent import Timeout, with_timeout

from sidecar.aws_lambda.events import Vouched, read
from sidecar.aws_lambda.whole import Whole
from sidecar.errors import DeadlinePassed
from sidecar.observability import tracing
from sidecar.server.lifecycle import WorkerLifecycle

_MARGIN: Final = 0.5
"""Seconds of the function's time that are left for a refusal, and for exporting traces."""
_END: Final = 0.1
"""Seconds of them that are left when no more is exported, for passing the answer on."""


class Context(Protocol):
    """What Lambda says of an invocation, as far as it is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds after which the environment is ended."""
        ...


Handler: TypeAlias = Callable[[Mapping[str, Any], Context | None], Mapping[str, Any]]


def make_handler(app: WorkerLifecycle) -> Handler:
    """Return the handler of an application, which begins to work.

    It raises ValueError for events that are no requests, and what breaks an answer off. Lambda logs it, and its front
    answers with 502.
    """
    app.begin()
    # Everything goes out as base64: texts are not all UTF-8, and every byte should arrive.
    answer = make_lambda_handler(Whole(Vouched(app)), binary_support=True, non_binary_content_type_prefixes=())

    def handle(event: Mapping[str, Any], context: Context | None) -> Mapping[str, Any]:
        read(event)
        try:
            with Timeout(_left(context, _MARGIN), DeadlinePassed("the function's own time is over")):
                return answer(dict(event), context)
        finally:
            # Nothing runs between requests: what is not exported now waits for the next one, or is lost.
            with_timeout(_left(context, _END), tracing.flush, timeout_value=None)

    return handle


def _left(context: Context | None, margin: float) -> float | None:
    """Return the seconds that something may take: Lambda ends the environment of a function that takes longer."""
    return None if context is None else max(0.0, context.get_remaining_time_in_millis() / 1000 - margin)
