"""Metrics of real workers: what runs, since when, in how much memory, and how often workers had to be replaced."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import sidecar
from sidecar.testing.object_store import ObjectStore, Reply
from tests.nginx.peers import ask
from tests.nginx.servers import Sidecar, wait_for

OPEN = "application/openmetrics-text;version=1.0.0"
TILE = "/iiif/3/tiled_512.jp2/{},0,512,512/256,/0/default.jpg"


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[ObjectStore]:
    """A far server with one image."""
    with ObjectStore({"tiled_512.jp2": (folder / "tiled_512.jp2").read_bytes()}) as made:
        yield made


@pytest.fixture(scope="module")
def served(store: ObjectStore, logs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Two workers over the far server."""
    home = tmp_path_factory.mktemp("metrics")
    toml = f'workers = 2\n[http]\nurl_prefix = "{store.url}/"\nblock_bytes = 4096\nattempts = 2\n'
    made = Sidecar(home, toml)
    logs.append(made.process.log)
    yield made
    made.stop()


def test_what_runs(served: Sidecar) -> None:
    """Versions, the time of the start, the memory budget and the memory in use."""
    text = ask(served.port, "/sidecar/metrics").text
    assert f'sidecar_build_info{{python="{platform.python_version()}",version="{sidecar.__version__}"}} 1.0' in text
    assert 0 <= time.time() - served.metric("sidecar_start_time_seconds") < 600
    assert served.metric("sidecar_budget_bytes") > 100 * 2**20
    assert 50 * 2**20 < served.metric("sidecar_resident_bytes") < 2**30


def test_both_forms_can_be_read(served: Sidecar) -> None:
    """Prometheus' own form and OpenMetrics have the same families, for the official parsers."""
    texts = [ask(served.port, "/sidecar/metrics", headers={"Accept": accept}).text for accept in ("*/*", OPEN)]
    plain = {family.name for family in text_string_to_metric_families(texts[0])}
    assert plain == {family.name for family in openmetrics(texts[1])}  # type: ignore[no-untyped-call]  # not annotated
    assert len(plain) > 20


def test_bytes_and_caches(served: Sidecar, store: ObjectStore) -> None:
    """What a picture needs of a far image is counted as it is read, fetched and found again; time by who takes it."""
    store.requests.clear()
    for number in range(4):
        ask(served.port, TILE.format(number % 2 * 512))
    # A request is counted when it is over, which may be after its client has everything.
    pictures = 'sidecar_image_seconds_count{decoder="jp2",format="jpg",source="http"}'
    wait_for(lambda: served.metric(pictures) >= 4, "pictures")
    assert served.metric('sidecar_fetched_bytes_total{source="http"}') >= served.metric("sidecar_read_bytes_total") / 4
    assert served.metric(pictures) == 4
    assert served.metric('sidecar_stage_seconds_count{plugin="http",stage="fetch"}') > 0
    for cache in ("blocks", "infos", "objects", "readers"):
        lookups = [
            served.metric(f'sidecar_cache_lookups_total{{cache="{cache}",result="{result}"}}')
            for result in ("hit", "miss")
        ]
        assert all(lookups), cache


def test_failures_of_a_source(served: Sidecar, store: ObjectStore) -> None:
    """Each attempt that fails is counted, and each request that fails of it, by its reason."""
    store.mischief = lambda _request, _reply: Reply(503)
    ask(served.port, "/iiif/3/other.jp2/info.json")
    store.mischief = lambda _request, reply: reply
    errors = 'sidecar_source_errors_total{reason="source",source="http"}'
    wait_for(lambda: served.metric(errors) >= 1, "the request is over")
    assert served.metric(errors) == 1
    assert served.metric('sidecar_source_retries_total{source="http"}') == 1


def test_a_worker_that_ends_is_counted(served: Sidecar) -> None:
    """A worker that is killed is counted; one that a reload stops is not."""
    before = served.metric("sidecar_worker_restarts")
    os.kill(served.workers()[0], signal.SIGKILL)

    def counted() -> bool:
        with suppress(OSError):
            return served.metric("sidecar_worker_restarts") == before + 1 and served.metric("sidecar_workers") == 2
        return False

    wait_for(counted, "the worker is counted")
    old = set(served.workers())
    os.kill(served.process.pid, signal.SIGHUP)
    wait_for(lambda: not old & set(served.workers()), "the reload is over")
    assert served.metric("sidecar_worker_restarts") == before + 1
