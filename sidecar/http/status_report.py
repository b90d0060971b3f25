"""What the sidecar reports of itself to people: one value for the status page and for the JSON beside it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from sidecar import __version__
from sidecar.config import shown
from sidecar.limits.quarantine import Quarantine
from sidecar.observability.counted import CACHES
from sidecar.observability.exposition import samples
from sidecar.observability.native_libraries import native_libraries
from sidecar.observability.request_book import SLOW_SECONDS, Page, Record, RequestBook
from sidecar.plugin import API_VERSION, Config
from sidecar.registry import Plugin, Registry

_LIBRARIES: Final = ("falcon", "gunicorn", "gevent", "numpy", "pillow", "pluggy", "pydantic", "urllib3")
"""Those of the core."""
_SHOWN: Final = 50
"""Of the latest requests of all workers."""
_SLOWEST: Final = 20
_NOW: Final = (
    "sidecar_workers",
    "sidecar_worker_restarts",
    "sidecar_failed_reloads",
    "sidecar_last_reload_failed",
    "sidecar_start_time_seconds",
)
_LOOKUPS: Final = "sidecar_cache_lookups_total"
Report = Mapping[str, Any]


@dataclass(frozen=True)
class StatusReport:
    """Gathers the report. Belongs to the event loop."""

    config: Config
    registry: Registry
    plugins: Sequence[Plugin]
    warnings: Sequence[str]
    """On settings, from the start."""
    quarantine: Quarantine
    book: RequestBook
    refresh: Callable[[], None]
    """Brings this worker's metrics up to date."""

    def make(self) -> Report:
        """Return the report, of what JSON can hold."""
        self.refresh()
        pages, now = self.book.pages(), time.time()
        found = samples(*_NOW, _LOOKUPS)
        values = {name: sum(sample.value for sample in found[name]) for name in _NOW}
        return {
            "time": now,
            "answered_by": os.getpid(),
            "started": values["sidecar_start_time_seconds"] or None,
            "versions": _versions(),
            "native": [each._asdict() for each in native_libraries()],
            "plugins": [asdict(each) for each in self.plugins],
            "sources": [each.name for each in self.registry.sources],
            "decoders": [{"name": each.name, "suffixes": sorted(each.suffixes)} for each in self.registry.decoders],
            "encoders": [{"format": each.format, "type": each.media_type} for each in self.registry.encoders.values()],
            "warnings": [*self.warnings],
            "reloads": {
                "failed": int(values["sidecar_failed_reloads"]),
                "last_failed": bool(values["sidecar_last_reload_failed"]),
            },
            "restarts": int(values["sidecar_worker_restarts"]),
            "memory": _memory(pages),
            "workers": [page.state for page in pages],
            "running": running(pages),
            "recent": recent(pages)[:_SHOWN],
            "slow": slow(pages)[:_SLOWEST],
            "caches": [*_caches(found[_LOOKUPS])],
            "quarantine": [{"digest": name, "seconds_left": round(left)} for name, left in self.quarantine.images()],
            "settings": [asdict(each) for each in shown(self.config)],
        }


def running(pages: Sequence[Page]) -> Sequence[Record]:
    """Return requests under way, the longest first; not those that have ended since they were written down."""
    over = {record["id"] for page in pages for record in page.recent}
    found = (record for page in pages for record in page.running if record["id"] not in over)
    return sorted(found, key=_milliseconds, reverse=True)


def recent(pages: Sequence[Page]) -> Sequence[Record]:
    """Return the latest requests, the last to end first."""
    return sorted((record for page in pages for record in page.recent), key=_ended, reverse=True)


def slow(pages: Sequence[Page]) -> Sequence[Record]:
    """Return the slowest requests of the last quarter of an hour."""
    since = time.time() - SLOW_SECONDS
    found = (record for page in pages for record in page.slow if _ended(record) > since)
    return sorted(found, key=_milliseconds, reverse=True)


def _milliseconds(record: Record) -> float:
    return float(record["milliseconds"])


def _ended(record: Record) -> float:
    return float(record["began"]) + float(record["milliseconds"]) / 1000


def _memory(pages: Sequence[Page]) -> Record:
    """Return the sums over all workers."""
    names = ("budget", "promised", "waiting", "resident", "idle_bytes")
    return {name: sum(page.state.get(name, 0) for page in pages) for name in names}


def _caches(lookups: Sequence[Any]) -> Iterator[Record]:
    """Return what was found in each cache, of all workers since the start."""
    for cache, what in CACHES.items():
        counts = {each.labels["result"]: int(each.value) for each in lookups if each.labels["cache"] == cache}
        hits, misses = counts.get("hit", 0), counts.get("miss", 0)
        rate = round(hits / (hits + misses), 3) if hits + misses else None
        yield {"name": cache, "keeps": what, "hits": hits, "misses": misses, "hit_rate": rate}


def _versions() -> Record:
    core = {"iiif-sidecar": __version__, "plugin API": str(API_VERSION), "Python": platform.python_version()}
    return {**core, **dict(_libraries()), "Linux": platform.release(), "machine": platform.machine()}


def _libraries() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:  # its author distributes it otherwise here
            continue
