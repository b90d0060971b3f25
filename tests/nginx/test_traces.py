"""Traces of requests through real servers, as a collector receives them: W3C, X-Ray and B3, over HTTP and gRPC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric

from sidecar.testing.object_store import ObjectStore
from tests.nginx.collector import Collector, attributes, is_server, over_grpc, over_http, tree
from tests.nginx.peers import Peer, ask
from tests.nginx.servers import REPOSITORY, Nginx, Sidecar, wait_for

TILE = "/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.jpg"
UNKNOWN = "/iiif/3/unknown.jp2/full/max/0/default.jpg?token=secret"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
W3C = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
ROUTE = "GET /iiif/{version}/{identifier}/{region}/{size}/{rotation}/{quality_format}"
TRUSTED = {("sidecar.conf", "# 10.0.0.0/8 1;"): "127.0.0.0/8 1;"}
"""This machine is the balancer in front of nginx."""


@dataclass(frozen=True)
class Traced:
    """A balancer's view of the whole, and the collector's."""

    nginx: Nginx
    sidecar: Sidecar
    cantaloupe: Peer
    collector: Collector


def variables(collector: Collector, **more: str) -> dict[str, str]:
    """What an operator sets."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        **more,
    }


@pytest.fixture(scope="module")
def traced(
    folder: Path, session_cantaloupe: Peer, logs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traced]:
    """Two workers that export over HTTP, all propagators, behind an nginx that trusts this machine."""
    home = tmp_path_factory.mktemp("traced")
    with over_http() as collector:
        environment = variables(
            collector,
            OTEL_PROPAGATORS="tracecontext,xray,b3",
            OTEL_RESOURCE_ATTRIBUTES="site=a",
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_METRIC_EXPORT_INTERVAL="200",
        )
        sidecar = Sidecar(
            home, f'workers = 2\ndecoded_cache_bytes = 0\n[filesystem]\nroot = "{folder}"\n', environment=environment
        )
        logs.append(sidecar.process.log)
        with Nginx(home / "nginx", sidecar.port, session_cantaloupe.port, TRUSTED) as nginx:
            yield Traced(nginx, sidecar, session_cantaloupe, collector)
        sidecar.stop()


def test_a_tile(traced: Traced) -> None:
    """A tile is one server span below the balancer's, named by its route, with a child for each stage."""
    assert ask(traced.nginx.port, TILE, headers=W3C).status == 200
    spans = traced.collector.trace(TRACE)
    (server,) = filter(is_server, spans)
    assert (server.name, server.parent_span_id.hex(), server.trace_state) == (ROUTE, PARENT, "vendor=1")
    stages = {span.name: span for span in spans if not is_server(span)}
    assert stages.keys() == {"wait", "index", "decode", "encode"}
    for span in stages.values():
        assert span.parent_span_id == server.span_id
        assert server.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= server.end_time_unix_nano
        assert attributes(span.attributes)["sidecar.stage.count"] >= 1
    (piece,) = stages["decode"].events
    assert attributes(piece.attributes).items() >= {"x": 256, "y": 256, "width": 256, "height": 256}.items()
    found = attributes(server.attributes)
    assert (
        found.items()
        >= {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "iiif.identifier": "tiled_512.jp2",
            "iiif.region": "512,512,512,512",
            "iiif.size": "256,",
            "iiif.format": "jpg",
            "sidecar.source": "filesystem",
            "sidecar.decoder": "jp2",
            "sidecar.encoder": "jpg",
            "sidecar.outcome": "answered",
            "sidecar.decode.requests": 1,
            "sidecar.shared": False,
            "sidecar.count.jp2_whole": 1,
        }.items()
    )
    assert found["http.response.body.size"] > 1000
    resource = attributes(traced.collector.requests[-1].resource_spans[0].resource.attributes)
    assert resource.items() >= {"service.name": "iiif-sidecar", "site": "a"}.items()


def test_a_handover(traced: Traced, cantaloupe: Peer) -> None:
    """Cantaloupe, which nginx asks after the sidecar, goes on below the sidecar's span; no query is exported."""
    trace = TRACE[::-1]
    assert ask(traced.nginx.port, UNKNOWN, headers={"traceparent": f"00-{trace}-{PARENT}-01"}).status == 200
    (server,) = traced.collector.trace(trace)
    (request,) = cantaloupe.requests
    assert request.headers["traceparent"].split("-")[1:3] == [trace, server.span_id.hex()]
    found = attributes(server.attributes)
    assert (found["sidecar.outcome"], found["sidecar.reason"]) == ("handover", "not-found")
    assert "secret" not in str(found)


def test_a_handover_is_in_the_docs(traced: Traced, cantaloupe: Peer) -> None:
    """The two traces that the docs show are those of a tile and of a handover."""
    text = (REPOSITORY / "docs" / "operate" / "traces.md").read_text(encoding="utf-8")
    for first, target in enumerate([TILE, UNKNOWN], 1):
        trace = f"{first:032x}"
        ask(traced.nginx.port, target, headers={"traceparent": f"00-{trace}-{PARENT}-01"})
        shown = f"trace {trace} (1-{trace[:8]}-{trace[8:]} in X-Ray)\n{tree(traced.collector.trace(trace))}"
        assert "\n".join(f"    {line}" for line in shown.splitlines()) in text
    assert cantaloupe.requests[-1].headers["x-amzn-trace-id"].startswith(f"Root=1-00000000-{2:024x};Parent=")


def test_x_ray(traced: Traced, cantaloupe: Peer) -> None:
    """An AWS balancer's header is gone on with, and passed on to Cantaloupe in the same form."""
    root = "1-5759e988-bd862e3fe1be46a994272793"
    given = {"X-Amzn-Trace-Id": f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1"}
    ask(traced.nginx.port, UNKNOWN, headers=given)
    (server,) = traced.collector.trace(root[2:].replace("-", ""))
    assert server.parent_span_id.hex() == "53995c3f42cd8ad8"
    assert cantaloupe.requests[-1].headers["x-amzn-trace-id"] == f"Root={root};Parent={server.span_id.hex()};Sampled=1"


def test_b3(traced: Traced, cantaloupe: Peer) -> None:
    """The same with B3; a trace that its beginning does not sample is passed on, and not recorded."""
    for sampled, trace in (("1", "80f198ee56343ba864fe8b2a57d3eff7"), ("0", "f" * 32)):
        ask(traced.nginx.port, UNKNOWN, headers={"b3": f"{trace}-e457b5a2e4d86bd1-{sampled}"})
        assert re.fullmatch(f"{trace}-[0-9a-f]{{16}}-{sampled}", cantaloupe.requests[-1].headers["b3"])
    traced.collector.trace("80f198ee56343ba864fe8b2a57d3eff7")
    assert all(span.trace_id.hex() != "f" * 32 for span in traced.collector.spans)


def test_probes_are_not_traced(traced: Traced) -> None:
    """What balancers and Prometheus ask every few seconds has no trace."""
    for path in ("health", "ready", "metrics"):
        ask(traced.sidecar.port, f"/sidecar/{path}", headers={"traceparent": f"00-{'e' * 32}-{PARENT}-01"})
    ask(traced.nginx.port, TILE, headers={"traceparent": f"00-{'d' * 32}-{PARENT}-01"})
    traced.collector.trace("d" * 32)
    assert all(span.trace_id.hex() != "e" * 32 for span in traced.collector.spans)


def test_exemplars(traced: Traced) -> None:
    """OpenMetrics shows a trace for what took as long as it did."""
    trace = "b" * 32
    ask(traced.sidecar.port, TILE, headers={"traceparent": f"00-{trace}-{PARENT}-01"})
    traced.collector.trace(trace)
    given = {"Accept": "application/openmetrics-text"}

    def shown() -> set[str]:
        text = ask(traced.sidecar.port, "/sidecar/metrics", headers=given).text
        found = re.findall(r'sidecar_(\w+)_bucket{.*} \d+\.0 # {trace_id="([0-9a-f]{32})"} ', text)
        return {name for name, shown in found if shown == trace}

    # Of the worker that answers, which is not the same each time.
    wait_for(lambda: shown() == {"request_seconds", "image_seconds"}, "exemplars")


def test_metrics(traced: Traced) -> None:
    """Each worker exports its own metrics; together they are those that Prometheus gets."""
    ask(traced.nginx.port, TILE)
    name = 'sidecar_image_seconds_count{decoder="jp2",format="jpg",source="filesystem"}'
    # A request is counted when it is over, which may be after its client has everything.
    wait_for(lambda: traced.sidecar.metric(name) > 0, "a picture")

    def latest() -> list[Metric]:
        """The newest metrics of each worker."""
        newest = {}
        for request in traced.collector.metrics:
            (resource,) = request.resource_metrics
            named = attributes(resource.resource.attributes)
            newest[named["service.instance.id"]] = resource.scope_metrics[0].metrics
        return [metric for metrics in newest.values() for metric in metrics]

    def points(name: str) -> list[HistogramDataPoint]:
        return [point for metric in latest() if metric.name == name for point in metric.histogram.data_points]

    def exported() -> int:
        return sum(point.count for point in points("sidecar_image_seconds"))

    wait_for(lambda: exported() == traced.sidecar.metric(name), "the pictures")
    for point in points("sidecar_image_seconds"):
        assert (sum(point.bucket_counts), len(point.bucket_counts)) == (point.count, len(point.explicit_bounds) + 1)
        assert attributes(point.attributes) == {"source": "filesystem", "decoder": "jp2", "format": "jpg"}
    kinds = {metric.name: (metric.WhichOneof("data"), metric.unit) for metric in latest()}
    assert kinds["sidecar_requests"] == ("sum", "1")
    assert kinds["sidecar_sent_bytes"] == ("sum", "By")
    assert kinds["sidecar_image_seconds"] == ("histogram", "s")

    def workers() -> float:
        gauges = (metric.gauge for metric in latest() if metric.name == "sidecar_workers")
        return sum(float(point.as_double) for gauge in gauges for point in gauge.data_points)

    wait_for(lambda: workers() == 2, "both workers export")


def test_strangers_are_not_believed(folder: Path, cantaloupe: Peer, tmp_path: Path) -> None:
    """An nginx that trusts nobody passes on no trace of a client, to neither; the sidecar's own reaches Cantaloupe.

    Over gRPC, with ids of X-Ray, and stopped at once: what was recorded is exported before a worker ends.
    """
    with over_grpc() as collector:
        environment = variables(
            collector,
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_HEADERS="key=value",
            OTEL_BSP_SCHEDULE_DELAY="60000",
            OTEL_PROPAGATORS="tracecontext,xray,b3",
            OTEL_PYTHON_ID_GENERATOR="xray",
            OTEL_METRICS_EXPORTER="otlp",
        )
        sidecar = Sidecar(tmp_path, f'workers = 1\n[filesystem]\nroot = "{folder}"\n', environment=environment)
        given = {**W3C, "b3": f"{TRACE}-{PARENT}-1", "X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT}
        with Nginx(tmp_path / "nginx", sidecar.port, cantaloupe.port) as nginx:
            ask(nginx.port, UNKNOWN, headers=given)
        sidecar.stop()
        (server,) = collector.spans
        assert len(collector.metrics) == 1
    assert not server.parent_span_id
    assert TRACE not in str(cantaloupe.requests[-1].headers)
    trace = server.trace_id.hex()
    assert cantaloupe.requests[-1].headers["traceparent"].split("-")[1:3] == [trace, server.span_id.hex()]
    # AWS X-Ray Developer Guide, "Trace ID format": the first 8 digits are the time in seconds.
    seconds = int(trace[:8], 16) - server.start_time_unix_nano // 10**9
    assert abs(seconds) <= 1
    assert f"Root=1-{trace[:8]}-{trace[8:]}" in cantaloupe.requests[-1].headers["x-amzn-trace-id"]
    assert collector.heads[-1]["key"] == "value"


def test_other_servers_go_on(folder: Path, cantaloupe: Peer, tmp_path: Path) -> None:
    """The storage of images goes on below the stage that asks it, and Cantaloupe below a client span.

    Without nginx, the sidecar asks Cantaloupe itself.
    """
    images = {name: (folder / name).read_bytes() for name in ("tiled_512.jp2",)}
    with over_http() as collector, ObjectStore(images) as store:
        toml = f"""workers = 1\ncantaloupe_url = "http://127.0.0.1:{cantaloupe.port}"
[http]\nurl_prefix = "{store.url}/"\nblock_bytes = 4096\n"""
        sidecar = Sidecar(tmp_path, toml, environment=variables(collector))
        assert ask(sidecar.port, UNKNOWN, headers=W3C).text == "cantaloupe's answer"
        names = {span.name: span for span in collector.trace(TRACE)}
        assert cantaloupe.requests[-1].headers["traceparent"].split("-")[1:3] == [TRACE, names["proxy"].span_id.hex()]
        assert names.keys() == {ROUTE, "proxy"}
        store.requests.clear()
        assert ask(sidecar.port, TILE, headers={"traceparent": f"00-{'c' * 32}-{PARENT}-01"}).status == 200
        below = {span.span_id.hex(): span.name for span in collector.trace("c" * 32)}
        sidecar.stop()
    assert set(below.values()) == {ROUTE, "wait", "index", "fetch", "decode", "encode"}
    asking = [request.headers["traceparent"].split("-")[1:3] for request in store.requests]
    assert {trace for trace, _ in asking} == {"c" * 32}
    # The image is looked for before any stage begins.
    assert [*dict.fromkeys(below[parent] for _, parent in asking)] == [ROUTE, "index", "fetch"]


def test_a_collector_that_is_down(folder: Path, tmp_path: Path) -> None:
    """Nobody waits for a collector that does not answer: tiles are served, and the sidecar stops."""
    environment = variables(Collector(9), OTEL_EXPORTER_OTLP_TIMEOUT="1")
    sidecar = Sidecar(tmp_path, f'workers = 1\n[filesystem]\nroot = "{folder}"\n', environment=environment)
    assert [ask(sidecar.port, TILE).status for _ in range(3)] == [200] * 3
    sidecar.stop()
    assert sidecar.process.status == 0
