"""Whether requests should be sent to this worker."""

from __future__ import annotations

from sidecar.limits.admission import Admission


class Readiness:
    """What balancers ask."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.draining = False

    @property
    def problem(self) -> str:
        """Why requests should go elsewhere; empty if they should not."""
        if self.draining:
            return "draining"
        return "overloaded" if self._admission.full else ""
