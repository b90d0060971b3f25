"""Metrics by OTLP: those of this worker, converted from Prometheus' and sent now and then.

Each worker sends its own, under its own `service.instance.id`: whoever receives them adds them up. Names are those of
Prometheus without `_total`, which a collector that exports to Prometheus puts there again. Loaded only if asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import gevent
from opentelemetry.sdk.metrics import export as points
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import REGISTRY, Metric
from prometheus_client.samples import Sample

from sidecar.observability.logging import log

_PREFIX: Final = "sidecar_"
_UNITS: Final = {"_seconds": "s", "_bytes": "By"}
_EVERY: Final = points.AggregationTemporality.CUMULATIVE
Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Series:
    """The samples of a histogram with the same labels."""

    bounds: list[float] = field(default_factory=list)
    cumulative: list[int] = field(default_factory=list)
    sum: float = 0.0


def converted(families: Iterable[Metric], resource: Resource, version: str, began: int, now: int) -> points.MetricsData:
    """Return metrics as OpenTelemetry has them; `began` and `now` in nanoseconds since 1970."""
    metrics = [_metric(each, began, now) for each in families if each.name.startswith(_PREFIX) and each.samples]
    scope = points.ScopeMetrics(InstrumentationScope("iiif-sidecar", version), metrics, "")
    return points.MetricsData([points.ResourceMetrics(resource, [scope], "")])


def _metric(family: Metric, began: int, now: int) -> points.Metric:
    unit = next((unit for suffix, unit in _UNITS.items() if family.name.endswith(suffix)), "1")
    data: points.DataT
    if family.type == "histogram":
        data = points.Histogram([*_histograms(family.samples, began, now)], _EVERY)
    elif family.type == "counter":
        totals = (each for each in family.samples if each.name.endswith("_total"))
        data = points.Sum([_number(each, began, now) for each in totals], _EVERY, is_monotonic=True)
    else:
        data = points.Gauge([_number(each, began, now) for each in family.samples])
    return points.Metric(family.name, family.documentation, unit, data)


def _number(sample: Sample, began: int, now: int) -> points.NumberDataPoint:
    return points.NumberDataPoint(dict(sample.labels), began, now, sample.value)


def _histograms(samples: Iterable[Sample], began: int, now: int) -> Iterator[points.HistogramDataPoint]:
    every: dict[Labels, _Series] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        series = every.setdefault(tuple(labels.items()), _Series())
        if sample.name.endswith("_bucket"):
            series.bounds.append(float(sample.labels["le"]))
            series.cumulative.append(int(sample.value))
        elif sample.name.endswith("_sum"):
            series.sum = sample.value
    for key, series in every.items():
        counts = [here - before for before, here in zip([0, *series.cumulative], series.cumulative, strict=False)]
        # The last bucket has no upper bound. Smallest and largest are not known, which OTLP allows.
        yield points.HistogramDataPoint(
            attributes=dict(key),
            start_time_unix_nano=began,
            time_unix_nano=now,
            count=series.cumulative[-1],
            sum=series.sum,
            bucket_counts=counts,
            explicit_bounds=series.bounds[:-1],
            min=None,  # type: ignore[arg-type]  # as above
            max=None,  # type: ignore[arg-type]  # as above
        )


class MetricsExport:
    """Sends the metrics of this worker, again and again."""

    def __init__(
        self,
        exporter: points.MetricExporter,
        resource: Resource,
        version: str,
        interval: float,
        native: Callable[[Callable[[], object]], object],
    ) -> None:
        """`interval`: seconds between two exports; `native` runs a call so that the event loop goes on meanwhile."""
        self._exporter, self._resource, self._version, self._native = exporter, resource, version, native
        self._interval = interval
        self._began = time.time_ns()
        self._greenlet = gevent.spawn(self._run)

    def export(self) -> None:
        """Send what there is now."""
        data = converted(REGISTRY.collect(), self._resource, self._version, self._began, time.time_ns())
        self._native(lambda: self._exporter.export(data))

    def stop(self) -> None:
        """Send a last time, and no more."""
        self._greenlet.kill()
        self.export()
        self._exporter.shutdown()

    def _run(self) -> None:
        while True:
            gevent.sleep(self._interval)
            try:
                self.export()
            except Exception as error:  # noqa: BLE001  # whatever an exporter raises, the next one may succeed
                log.warning("metrics could not be exported", problem=str(error))
