"""Metrics as text: exemplars in OpenMetrics, labels that are bounded, values of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import falcon.testing
import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.observability import metrics
from sidecar.observability.exposition import Exemplars, exposition
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient

OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
TWO_PROCESSES = """
import os
from sidecar.observability.metrics import BUILD, IMAGES, RESTARTS, SECONDS
from sidecar.observability.exposition import EXEMPLARS, exposition
child = os.fork()
from prometheus_client import values
SECONDS.labels("image").observe(0.03)
BUILD.labels("1", "3").set(1)
RESTARTS.set(2)
if not child:
    os._exit(0)
os.waitpid(child, 0)
EXEMPLARS.note("sidecar_request_seconds", 0.03, "a" * 32, kind="image")
print(exposition("application/openmetrics-text")[0].decode(), end="")
"""


def test_every_label_is_bounded() -> None:
    """The docs state of each label which values it has, and of no other."""
    every = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    assert {label for each in every for label in each._labelnames} == set(metrics.LABELS)


def test_clients_make_no_series() -> None:
    """However many identifiers, parameters, paths and traces are asked for, the number of series stays the same."""
    source = MemorySource({"x.gradient": MemoryBlob("x.gradient", gradient(200, 100))})
    pool = NativePool(1)
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})
    app = create_app(Config.of(Settings()), registry, pool)

    def series_after(first: int) -> int:
        for number in range(first, first + 20):
            for path in (f"{number}/info.json", f"x.gradient/0,0,9{number},9/max/0/default.raw", f"x/{number}"):
                given = {"X-Request-ID": f"id-of-{number:08}", "User-Agent": str(number)}
                falcon.testing.simulate_get(app, f"/iiif/3/{path}", headers=given)
        return exposition()[0].count(b"\n")

    assert series_after(0) == series_after(20)
    pool.close()


def test_exemplars() -> None:
    """Each bucket shows its latest trace, and nothing else does."""
    exemplars = Exemplars()
    for value, trace in ((0.02, "a"), (0.024, "b"), (0.025, "c"), (1e9, "d")):
        exemplars.note("h", value, trace, kind="image")
    found = {key[2]: exemplar.labels["trace_id"] for key, exemplar in exemplars._found.items()}
    assert found == {0.025: "c", float("inf"): "d"}


def test_exemplars_stand_beside_counts_of_all_processes(tmp_path: Path) -> None:
    """OpenMetrics of two processes is valid, has the sum, and the exemplar of the one that answers."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", TWO_PROCESSES], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    parsed = text_string_to_metric_families(done.stdout)  # type: ignore[no-untyped-call]  # it has no annotations
    families = {family.name: family for family in parsed}
    buckets = {sample.labels.get("le"): sample for sample in families["sidecar_request_seconds"].samples}
    assert buckets["0.05"].value == 2
    assert buckets["0.05"].exemplar.labels == {"trace_id": "a" * 32}
    assert [le for le, sample in buckets.items() if sample.exemplar] == ["0.05"]
    assert families["sidecar_worker_restarts"].samples[0].value == 2


@pytest.mark.parametrize("accept, kind", [("", "text/plain"), (OPEN, "application/openmetrics-text")])
def test_the_form_that_is_asked_for(accept: str, kind: str) -> None:
    """Prometheus' own format, unless OpenMetrics is asked for."""
    text, media_type = exposition(accept)
    assert media_type.startswith(kind)
    assert text.endswith(b"# EOF\n") == (kind != "text/plain")
