"""What is counted under a name that some module declares: lookups in caches, and tallies of plugins.

A name is declared when its module is imported, so that there are few, all are known, and no client chooses one. Metrics
are loaded when something is first counted: gunicorn's master imports this, and prometheus_client decides when it is
imported whether processes share metrics.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import Any, Final

from sidecar.observability.work import CURRENT

CACHES: Final[dict[str, str]] = {}
"""Every cache whose lookups are counted, and what it keeps."""
TALLY_NAMES: Final[dict[str, str]] = {}
"""Every tally, and what it counts."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,40}")


def _declare(names: dict[str, str], name: str, meaning: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} should be small letters, digits and underscores")
    if names.setdefault(name, meaning) != meaning:
        raise ValueError(f"{name!r} is counted already, as {names[name]!r}")


class CountedCache:
    """Lookups in a cache: `sidecar_cache_lookups_total`. Safe in any thread."""

    def __init__(self, name: str, meaning: str) -> None:
        """Declare a cache by a short name, with what it keeps, as a phrase of Markdown. Raises ValueError.

        Call it once, when a module is imported. The names of a plugin's caches begin with its own: `jp2_indexes`.
        """
        _declare(CACHES, name, meaning)
        self._name = name

    def looked_up(self, *, hits: int = 0, misses: int = 0) -> None:
        """Count lookups that found something, and those that did not."""
        for result, count in (("hit", hits), ("miss", misses)):
            if count:
                self._counter(result).inc(count)

    @cache  # noqa: B019  # made once, for the life of the process
    def _counter(self, result: str) -> Any:
        from sidecar.observability.metrics import LOOKUPS  # noqa: PLC0415  # as said above

        return LOOKUPS.labels(self._name, result)


class Tally:
    """Something that a plugin counts of its work: in `sidecar_tallies_total`, the log and the trace of the request.

    Safe in any thread.
    """

    def __init__(self, name: str, meaning: str) -> None:
        """Declare a tally by a short name, with what is counted, as a phrase of Markdown. Raises ValueError.

        Call it once, when a module is imported. The names of a plugin's tallies begin with its own: `jp2_windows`.
        """
        _declare(TALLY_NAMES, name, meaning)
        self._name = name

    def add(self, count: int = 1) -> None:
        """Count some, for the request that is worked on if there is one. 0 is not counted."""
        if not count:
            return
        self._counter.inc(count)
        if (work := CURRENT.get()) is not None:
            work.tally(self._name, count)

    @cached_property
    def _counter(self) -> Any:
        from sidecar.observability.metrics import TALLIES  # noqa: PLC0415  # as said above

        return TALLIES.labels(self._name)
