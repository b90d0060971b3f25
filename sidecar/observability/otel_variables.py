"""What the variables of OpenTelemetry ask for: `OTEL_*`, as its specification names them.

Nothing is traced unless they name an exporter or an endpoint; metrics are exported only if an exporter is named. The
rest of them (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES` …) is read by
OpenTelemetry itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.errors import StartError

_PROTOCOLS: Final = ("http/protobuf", "grpc")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FILES: Final = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{name}"
    for signal in ("", "TRACES_", "METRICS_")
    for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
)
"""Variables that name files, which a worker must be able to read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    exporters: tuple[str, ...] = ()
    """Of traces; empty: nothing is traced."""
    explicit: bool = False
    """Whether an exporter is named, not just an endpoint."""
    grpc: bool = False
    """Whether OTLP goes over gRPC, not over HTTP."""
    ids: str = "random"
    """What makes ids: `random`, or `xray`, whose trace ids begin with the time."""
    version: str = ""
    """Of the sidecar."""
    metrics: bool = False
    """Whether metrics are exported by OTLP."""
    metrics_grpc: bool = False
    """Whether over gRPC."""
    metrics_interval: float = 60.0
    """Seconds between two exports of metrics."""

    @property
    def anything(self) -> bool:
        """Whether anything is exported."""
        return bool(self.exporters) or self.metrics


def wanted(version: str, environ: Mapping[str, str] = os.environ) -> Wanted:
    """Read the variables; an empty one is as good as none. Raises StartError for a value that is not known here."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Wanted()
    traces, metrics = _named("TRACES", ("otlp", "console"), environ), _named("METRICS", ("otlp",), environ)
    implied = ("otlp",) if any(map(environ.get, _ENDPOINTS)) else ()
    exporters = implied if traces is None else traces
    return Wanted(
        exporters,
        explicit=bool(traces or metrics),
        grpc="otlp" in exporters and _is_grpc("TRACES", environ),
        ids=environ.get("OTEL_PYTHON_ID_GENERATOR") or "random",
        version=version,
        metrics=bool(metrics),
        metrics_grpc=bool(metrics) and _is_grpc("METRICS", environ),
        metrics_interval=_interval(environ),
    )


def _named(signal: str, known: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the exporters of a signal that are named; None if the variable is not set."""
    name = f"OTEL_{signal}_EXPORTER"
    named = [each.strip() for each in environ.get(name, "").split(",") if each.strip()]
    for each in named:
        if each not in (*known, "none"):
            raise StartError(f"{name}: {each!r} is not known here; {', '.join(known)} and none are")
    if not named:
        return None
    return () if "none" in named else tuple(named)


def _is_grpc(signal: str, environ: Mapping[str, str]) -> bool:
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environ.get(name):
            if protocol not in _PROTOCOLS:
                raise StartError(f"{name}: {protocol!r} is not known here; {' and '.join(_PROTOCOLS)} are")
            return protocol == "grpc"
    return False


def _interval(environ: Mapping[str, str]) -> float:
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    given = environ.get(name) or "60000"
    if not given.isdecimal() or not int(given):
        raise StartError(f"{name}: {given!r} is not known here; milliseconds are, above 0")
    return int(given) / 1000
