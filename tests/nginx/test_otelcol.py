"""A real collector of OpenTelemetry takes what is exported. Skipped if there is none: `make otelcol` builds one.

Otherwise tests/nginx/collector.py stands in its place, which decodes OTLP by the official classes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.nginx.peers import HOST, Peer, ask
from tests.nginx.servers import REPOSITORY, Nginx, Process, Sidecar, free_port, listening, wait_for

OTELCOL = shutil.which("otelcol", path=f"{REPOSITORY / '.run'}:{os.environ.get('PATH', '')}")
TILE = "/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.jpg"
UNKNOWN = "/iiif/3/unknown.jp2/full/max/0/default.jpg"
CONFIGURATION = """
receivers:
  otlp:
    protocols:
      http: {{ endpoint: {host}:{http} }}
      grpc: {{ endpoint: {host}:{grpc} }}
exporters:
  file: {{ path: {file}, flush_interval: 50ms }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [file] }}
    metrics: {{ receivers: [otlp], exporters: [file] }}
"""
pytestmark = pytest.mark.skipif(not OTELCOL, reason="there is no otelcol, see `make otelcol`")


@dataclass(frozen=True)
class Otelcol:
    """A collector that runs, and what it writes."""

    ports: dict[str, int]
    file: Path

    def received(self, kind: str) -> list[dict[str, Any]]:
        """Everything of a kind so far, `Spans` or `Metrics`, with what exported it."""
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        found = []
        for resource in (each for line in lines for each in json.loads(line).get(f"resource{kind}", [])):
            for scope in resource[f"scope{kind}"]:
                found += [{**each, "resource": plain(resource["resource"])} for each in scope[kind.lower()]]
        return found


def plain(has_attributes: dict[str, Any]) -> dict[str, str]:
    """Attributes, as texts."""
    return {each["key"]: str(*each["value"].values()) for each in has_attributes.get("attributes", [])}


@contextmanager
def otelcol(folder: Path) -> Iterator[Otelcol]:
    """Run a collector."""
    ports, file = {"http": free_port(), "grpc": free_port()}, folder / "received.json"
    configuration = folder / "otelcol.yaml"
    configuration.write_text(CONFIGURATION.format(host=HOST, file=file, **ports))
    process = Process([str(OTELCOL), "--config", str(configuration)], folder / "otelcol.log")
    wait_for(lambda: listening(ports["grpc"]) or not process.running, "the collector listens")
    assert process.running, process.log.read_text()
    yield Otelcol(ports, file)
    process.stop(signal.SIGTERM)


@pytest.mark.parametrize("protocol, port", [("http/protobuf", "http"), ("grpc", "grpc")])
def test_a_real_collector(protocol: str, port: str, folder: Path, cantaloupe: Peer, tmp_path: Path) -> None:
    """Spans of a tile and of a handover with ids of X-Ray, and metrics, over HTTP and over gRPC."""
    with otelcol(tmp_path) as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{collector.ports[port]}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_PROPAGATORS": "tracecontext,xray",
            "OTEL_PYTHON_ID_GENERATOR": "xray",
        }
        sidecar = Sidecar(tmp_path, f'workers = 1\n[filesystem]\nroot = "{folder}"\n', environment=environment)
        with Nginx(tmp_path / "nginx", sidecar.port, cantaloupe.port) as nginx:
            assert ask(nginx.port, TILE).status == 200
            assert ask(nginx.port, UNKNOWN).text == "cantaloupe's answer"
        sidecar.stop()
        wait_for(lambda: len(collector.received("Spans")) == 6 and bool(collector.received("Metrics")), "all arrives")
        spans, metrics = collector.received("Spans"), collector.received("Metrics")
    servers = {plain(span)["sidecar.outcome"]: span for span in spans if span["kind"] == 2}
    assert servers.keys() == {"answered", "handover"}
    below = [span for span in spans if span.get("parentSpanId") == servers["answered"]["spanId"]]
    assert sorted(span["name"] for span in below) == ["decode", "encode", "index", "wait"]
    assert plain(servers["answered"])["iiif.identifier"] == "tiled_512.jp2"
    assert spans[0]["resource"]["service.name"] == "iiif-sidecar"
    # AWS X-Ray Developer Guide, "Trace ID format": the first 8 digits are the time in seconds.
    for span in spans:
        assert abs(int(span["traceId"][:8], 16) - int(span["startTimeUnixNano"]) // 10**9) <= 1
    trace = servers["handover"]["traceId"]
    asked = cantaloupe.requests[-1].headers["x-amzn-trace-id"]
    assert asked == f"Root=1-{trace[:8]}-{trace[8:]};Parent={servers['handover']['spanId']};Sampled=1"
    (images,) = (metric for metric in metrics if metric["name"] == "sidecar_image_seconds")
    (point,) = images["histogram"]["dataPoints"]
    assert (point["count"], plain(point)) == ("1", {"source": "filesystem", "decoder": "jp2", "format": "jpg"})
