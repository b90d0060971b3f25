"""What the variables of OpenTelemetry ask for: `OTEL_*`, as its specification names them.

Nothing is traced unless they name an exporter or an endpoint. The rest of them (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`,
`OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES` …) is read by OpenTelemetry itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.errors import StartError

_EXPORTERS: Final = ("otlp", "console")
_PROTOCOLS: Final = ("http/protobuf", "grpc")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FILES: Final = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{name}"
    for signal in ("", "TRACES_")
    for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
)
"""Variables that name files, which a worker must be able to read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    exporters: tuple[str, ...] = ()
    """Empty: nothing is traced."""
    explicit: bool = False
    """Whether exporters are named, not just an endpoint."""
    grpc: bool = False
    """Whether OTLP goes over gRPC, not over HTTP."""
    ids: str = "random"
    """What makes ids: `random`, or `xray`, whose trace ids begin with the time."""
    version: str = ""
    """Of the sidecar."""


def wanted(version: str, environ: Mapping[str, str] = os.environ) -> Wanted:
    """Read the variables; an empty one is as good as none. Raises StartError for a value that is not known here."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Wanted()
    named = [each.strip() for each in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if each.strip()]
    exporters = named or (["otlp"] if any(map(environ.get, _ENDPOINTS)) else [])
    if "none" in exporters:
        return Wanted()
    for each in exporters:
        if each not in _EXPORTERS:
            raise StartError(f"OTEL_TRACES_EXPORTER: {each!r} is not known here; otlp, console and none are")
    variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next(filter(None, map(environ.get, variables)), _PROTOCOLS[0])
    if "otlp" in exporters and protocol not in _PROTOCOLS:
        raise StartError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not known here; {' and '.join(_PROTOCOLS)} are")
    ids = environ.get("OTEL_PYTHON_ID_GENERATOR") or "random"
    return Wanted(tuple(exporters), bool(named), protocol == "grpc", ids, version)
