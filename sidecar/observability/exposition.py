"""The metrics of all workers as text: Prometheus' own format, or OpenMetrics with exemplars.

An exemplar is a trace that a count in a histogram stands for. prometheus_client keeps none if several processes share
metrics, so each worker keeps its own here: the latest of each bucket. Whoever asks gets those of the worker that
answers, beside counts of all.
"""

from __future__ import annotations

import os
import struct
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Final, TypeAlias, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from sidecar.observability.metrics import BUCKETS

T = TypeVar("T")
_ATTEMPTS: Final = 5
_PLAIN: Final = "text/plain;version=0.0.4;charset=utf-8"
_OPEN: Final = "application/openmetrics-text"
Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...], float]
"""A histogram's name, its labels, and the upper bound of a bucket."""


class Exemplars:
    """The latest trace of each bucket: as many as there are buckets, and no more."""

    def __init__(self) -> None:
        self._found: dict[Key, Exemplar] = {}

    def note(self, histogram: str, value: float, trace: str, **labels: str) -> None:
        """Keep a trace for the bucket of a value, in a histogram with BUCKETS."""
        bound = [*BUCKETS, inf][bisect_left(BUCKETS, value)]
        self._found[histogram, _sorted(labels), bound] = Exemplar({"trace_id": trace}, value, time.time())

    def of(self, sample: Sample, histogram: str) -> Exemplar | None:
        """Return the exemplar of a bucket's sample."""
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        return self._found.get((histogram, _sorted(labels), float(sample.labels["le"])))


EXEMPLARS: Final = Exemplars()
"""Of this worker."""


def _sorted(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


class _WithExemplars(Collector):
    """A collector whose buckets have exemplars."""

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for family in self._inner.collect():
            family.samples = [
                each._replace(exemplar=EXEMPLARS.of(each, family.name)) if each.name.endswith("_bucket") else each
                for each in family.samples
            ]
            yield family


def exposition(accept: str = "") -> tuple[bytes, str]:
    """Return all metrics and their media type: of all workers, if they share PROMETHEUS_MULTIPROC_DIR."""
    every = _every()
    is_open = _OPEN in accept
    shown = CollectorRegistry()
    shown.register(_WithExemplars(every) if is_open else every)
    return _again(lambda: _text(shown, is_open=is_open))


def samples(*names: str) -> Mapping[str, Sequence[Sample]]:
    """Return the samples of some metrics, by their full names: of all workers, as `exposition`."""
    found = _again(lambda: [sample for family in _every().collect() for sample in family.samples])
    return {name: [sample for sample in found if sample.name == name] for name in names}


def _every() -> Collector:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    every = CollectorRegistry()
    MultiProcessCollector(every)  # type: ignore[no-untyped-call]  # its constructor is not annotated
    return every


def _again(read: Callable[[], T]) -> T:
    """Return what is read; a worker that is just starting has made its file and not yet filled it."""
    for _ in range(_ATTEMPTS):
        with suppress(struct.error):
            return read()
        time.sleep(0.05)
    return read()


def _text(registry: CollectorRegistry, *, is_open: bool) -> tuple[bytes, str]:
    if is_open:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no annotations
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), _PLAIN
