"""Which requests get a response that explains itself: all of them, or those of somebody who may see the status page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import falcon

from sidecar.errors import NotShown
from sidecar.http.visitors import Visitors

_ASKED: Final = "HTTP_X_EXPLAIN"
"""The header `X-Explain`, with any value: the viewer sends it with each tile."""


@dataclass(frozen=True, slots=True)
class ExplainedRequests:
    """Decides which requests these are."""

    always: bool
    visitors: Visitors

    def wants(self, environ: dict[str, Any]) -> bool:
        """Return whether a request is one of them."""
        if self.always or _ASKED not in environ:
            return self.always
        try:
            self.visitors.check(falcon.Request(environ))
        except NotShown:
            return False
        return True
