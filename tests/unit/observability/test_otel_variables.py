"""What switches traces on, and which values are refused at the start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from sidecar import observability
from sidecar.errors import StartError
from sidecar.observability import tracing
from sidecar.observability.otel_variables import wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
EXPORTER = {"OTEL_TRACES_EXPORTER": "otlp"}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Trace nothing after a test."""
    yield
    tracing.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_SDK_DISABLED", "true")
        tracing.prepare("1")


@pytest.mark.parametrize(
    "environ, exporters",
    [
        ({}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ()),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_PROPAGATORS": "b3"}, ()),
        (ENDPOINT, ("otlp",)),
        (EXPORTER, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", "otlp")),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, ()),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, ()),
    ],
)
def test_an_endpoint_or_an_exporter_switches_traces_on(environ: Mapping[str, str], exporters: tuple[str, ...]) -> None:
    """Nothing is traced without them, nor if they are switched off."""
    assert wanted("1", environ).exporters == exporters


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {**EXPORTER, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "udp"},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "udp"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "1s"},
    ],
)
def test_what_is_not_known_is_refused(environ: Mapping[str, str]) -> None:
    """The text names the variable and what would be right."""
    with pytest.raises(StartError, match=r"^OTEL_[A-Z_]+: '.+' is not known here"):
        wanted("1", environ)


def test_metrics_are_exported_if_that_is_said() -> None:
    """An endpoint alone means traces; the interval is in milliseconds, and each signal has a protocol of its own."""
    assert not wanted("1", ENDPOINT).metrics
    asked = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
    }
    found = wanted("1", asked)
    assert (found.metrics, found.metrics_interval, found.metrics_grpc, found.exporters) == (True, 5.0, True, ())


def test_the_protocol_of_traces_comes_first() -> None:
    """The variable for traces alone is stronger than the one for all signals."""
    both = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}
    assert wanted("1", {**EXPORTER, **both}).grpc
    assert not wanted("1", EXPORTER).grpc


def test_unknown_ids_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that nobody has installed is reported at the start."""
    for name, value in {**EXPORTER, "OTEL_PYTHON_ID_GENERATOR": "ulid"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match="OTEL_PYTHON_ID_GENERATOR: 'ulid'"):
        tracing.prepare("1")


def test_an_exporter_that_cannot_be_made_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of certificates that is not there is reported, and the worker goes on without traces."""
    for name, value in {
        **ENDPOINT,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }.items():
        monkeypatch.setenv(name, value)
    tracing.prepare("1")

    def fail(*_: object) -> NoReturn:
        raise FileNotFoundError("no such certificate")

    monkeypatch.setattr("sidecar.observability.otel.OtelTracer", fail)
    with capture_logs() as lines:
        tracing.start()
    assert [line["problem"] for line in lines] == ["FileNotFoundError: no such certificate"]
    assert tracing.onward() == {}


@pytest.mark.parametrize("variable", ["OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_libraries_that_are_missing(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an exporter is named, the sidecar does not start without; an endpoint alone may be meant for others."""
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    monkeypatch.delitem(sys.modules, "sidecar.observability.otel", raising=False)
    monkeypatch.delattr(observability, "otel", raising=False)
    monkeypatch.setenv(variable, "otlp")
    if variable == "OTEL_TRACES_EXPORTER":
        with pytest.raises(StartError, match=r"iiif-sidecar\[tracing\] is not installed"):
            tracing.prepare("1")
    else:
        tracing.prepare("1")
        tracing.start()
        assert tracing.carriers() == frozenset()


@pytest.mark.parametrize(
    "process", ["sidecar.server.application", "sidecar.server.master, sidecar.server.gunicorn_conf"]
)
def test_nothing_is_loaded_that_is_not_asked_for(process: str) -> None:
    """Neither a worker without traces nor the master imports OpenTelemetry: it costs memory, and forks badly."""
    code = (
        f"import sys, {process}; print(*(name for name in sys.modules if name.startswith(('opentelemetry', 'grpc'))))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
