"""Whether requests should be sent to this worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sidecar.http.source_checks import SourceChecks
from sidecar.limits.admission import Admission
from sidecar.plugin import Source


class Readiness:
    """What balancers ask."""

    def __init__(
        self, admission: Admission, lost: Callable[[], int] = lambda: 0, sources: Sequence[Source] | None = None
    ) -> None:
        """`lost` returns how many native threads are stuck; `sources`: those that images come from."""
        self._admission = admission
        self._lost = lost
        self._sources = sources
        self._checks = SourceChecks(sources or ())
        self.draining = False

    @property
    def problem(self) -> str:
        """Why requests should go elsewhere, but for the sources; empty if they should not."""
        if self.draining:
            return "draining"
        if self._sources is not None and not self._sources:
            return "no-source"
        if self._lost():
            return "stuck"
        if self._admission.stalled:
            return "stalled"
        return "overloaded" if self._admission.full else ""

    def state(self, *, remote: bool = False) -> tuple[bool, Mapping[str, Any]]:
        """Return whether requests should come here, and what that depends on; `remote` as in SourceChecks.

        Called in a greenlet; takes seconds at most.
        """
        sources = self._checks.found(remote=remote)
        problem = self.problem or ("unreadable" if any(sources.values()) else "")
        admission = self._admission
        memory = {"budget": admission.budget, "promised": admission.held, "waiting": admission.waiting}
        readable = {name: reason or "readable" for name, reason in sources.items()}
        return not problem, {"status": problem or "ready", "sources": readable, "memory": memory}
