"""Events in, answers out: the worker's application as a handler of AWS Lambda, by apig-wsgi."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from apig_wsgi import make_lambda_handler

from sidecar.aws_lambda.events import Vouched, read
from sidecar.aws_lambda.whole import Whole
from sidecar.observability import tracing
from sidecar.server.lifecycle import WorkerLifecycle

Handler: TypeAlias = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]


def make_handler(app: WorkerLifecycle) -> Handler:
    """Return the handler of an application, which begins to work.

    It raises ValueError for events that are no requests, and what breaks an answer off. Lambda logs it, and its front
    answers with 502.
    """
    app.begin()
    # Everything goes out as base64: texts are not all UTF-8, and every byte should arrive.
    answer = make_lambda_handler(Whole(Vouched(app)), binary_support=True, non_binary_content_type_prefixes=())

    def handle(event: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        read(event)
        try:
            return answer(dict(event), context)
        finally:
            # Nothing runs between requests: what is not exported now waits for the next one, or is lost.
            tracing.flush()

    return handle
