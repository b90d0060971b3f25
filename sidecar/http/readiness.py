"""Whether requests should be sent to this worker."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.limits.admission import Admission


class Readiness:
    """What balancers ask."""

    def __init__(self, admission: Admission, lost: Callable[[], int] = lambda: 0) -> None:
        """`lost` returns how many native threads are stuck."""
        self._admission = admission
        self._lost = lost
        self.draining = False

    @property
    def problem(self) -> str:
        """Why requests should go elsewhere; empty if they should not."""
        if self.draining:
            return "draining"
        if self._lost():
            return "stuck"
        if self._admission.stalled:
            return "stalled"
        return "overloaded" if self._admission.full else ""
