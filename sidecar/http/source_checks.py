"""Whether images can be read from the sources at the moment, for those that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

import gevent

from sidecar.errors import PluginFailure, SidecarError, SourceTimeout
from sidecar.observability.logging import log
from sidecar.plugin import Source, SupportsCheck

_PATIENCE: Final = 3.0
"""Seconds after which a source counts as one that does not answer."""
_FRESH: Final = 2.0
"""Seconds for which an answer is used again: whoever asks often costs the storage no more than that."""


class SourceChecks:
    """The checks of the sources of a worker: of each, one is under way at a time. Belongs to one event loop."""

    def __init__(self, sources: Sequence[Source], patience: float = _PATIENCE) -> None:
        """`patience`: seconds for which an answer is waited for."""
        self._sources = sources
        self._patience = patience
        self._under_way: dict[str, gevent.Greenlet[..., Any]] = {}
        self._found: dict[str, tuple[float, str]] = {}
        """When each answer came, and the reason why images cannot be read; empty if they can."""

    def found(self, *, remote: bool) -> Mapping[str, str]:
        """Return what is wrong with each source, by name: the reason, or an empty text. Takes seconds at most.

        Those over a network are asked if `remote`.
        """
        asked = [each for each in self._sources if isinstance(each, SupportsCheck) and (remote or not each.is_remote)]
        gevent.joinall([greenlet for each in asked if (greenlet := self._begun(each))], timeout=self._patience)
        return {each.name: self._latest(each.name) for each in asked}

    def _begun(self, source: Any) -> gevent.Greenlet[..., Any] | None:
        name = source.name
        if name not in self._under_way:
            asked, _ = self._found.get(name, (float("-inf"), ""))
            if monotonic() - asked < _FRESH:
                return None
            self._under_way[name] = gevent.spawn(self._check, source)
        return self._under_way[name]

    def _latest(self, name: str) -> str:
        return SourceTimeout.reason if name in self._under_way else self._found[name][1]

    def _check(self, source: Any) -> None:
        reason = problem = ""
        try:
            source.check()
        except SidecarError as error:
            reason, problem = error.reason, str(error)
        except Exception as error:  # noqa: BLE001  # of a plugin: it is reported, and nobody waits in vain
            reason, problem = PluginFailure.reason, f"{type(error).__name__}: {error}"
        if reason:
            log.warning("a source cannot be read", source=source.name, reason=reason, problem=problem)
        self._found[source.name] = (monotonic(), reason)
        del self._under_way[source.name]
