"""The end of a worker: soon, whatever clients go on asking, and never while native code runs."""

from __future__ import annotations

import os
import threading
import time
from itertools import count

import gevent
import pytest

from sidecar.config import Settings
from sidecar.limits.quarantine import digest
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server import lifecycle
from sidecar.server.application import create_app
from sidecar.server.lifecycle import WorkerLifecycle


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> WorkerLifecycle:
    """Return a worker without images, which may take its time to close."""
    monkeypatch.setattr(lifecycle, "_CLOSING", 60)
    return create_app(Config.of(Settings(memory_bytes=2**20)), Registry([], [], {}))


def test_a_worker_that_is_kept_busy_ends(worker: WorkerLifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that go on coming on open connections, one native call after the other, do not hold the end up."""
    ended: list[int] = []
    monkeypatch.setattr(lifecycle, "_CLOSING", 0.1)
    pool = worker._parts.renderer.pool
    # The first look falls between two calls.
    busy = iter([0])
    monkeypatch.setattr(type(pool), "busy", property(lambda self: next(busy, len(self._under_way))))
    monkeypatch.setattr(os, "_exit", ended.append)

    begun = count()
    latest = -1

    def until_the_next_has_begun() -> None:
        nonlocal latest
        mine = latest = next(begun)
        while latest == mine and not ended:
            time.sleep(0.002)

    def go_on() -> None:
        while not ended:
            pool(until_the_next_has_begun)

    clients = [gevent.spawn(go_on) for _ in range(2)]
    with gevent.Timeout(60):
        while latest < 1:
            gevent.sleep(0.01)
        worker.close()
    assert ended == [0]
    gevent.joinall(clients, raise_error=True)


def test_stuck_work_that_nobody_waits_for(worker: WorkerLifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts, and its image is quarantined, but only after ten times as long: its threads have a low priority."""
    parts, go = worker._parts, threading.Event()
    background = NativePool(1)
    monkeypatch.setattr(parts.renderer.pool, "_background", background)
    quarantined, lost = list[bytes](), list[int]()
    monkeypatch.setattr(parts.quarantine, "add", quarantined.append)
    monkeypatch.setattr(worker, "_be_replaced", lost.append)
    pools = {"asked": parts.renderer.pool, "learned": background}
    stuck = [gevent.spawn(pool.for_image(image), go.wait, 30) for image, pool in pools.items()]
    found = []
    for times in (1, 10):
        for pool in pools.values():
            while not pool._under_way:
                gevent.sleep(0.01)
            for call in pool._under_way:
                call.began = time.monotonic() - 1.1 * times * parts.settings.first_byte_timeout
        worker.check_stuck_calls()
        found.append([*quarantined])
    go.set()
    for each in stuck:
        each.join()
    background.close()
    assert found == [[digest("asked")], [digest("asked"), digest("learned")]]
    assert lost == [1, 2]


def test_a_worker_without_work_ends_in_order(worker: WorkerLifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing is under way, everything is closed and the process goes on to its own end."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    worker.close()
    assert ended == []


def test_a_call_whose_thread_gets_no_processor(worker: WorkerLifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to a thread that others keep from the processor does not begin while the process is taken down."""
    ended: list[int] = []
    monkeypatch.setattr(lifecycle, "_CLOSING", 0.1)
    monkeypatch.setattr(os, "_exit", ended.append)
    background, go = NativePool(1), threading.Event()
    monkeypatch.setattr(worker._parts.renderer.pool, "_background", background)
    monkeypatch.setattr(NativePool, "_lower_priority", lambda _: go.wait(30))
    late = gevent.spawn(background, threading.get_ident)
    gevent.sleep(0)
    worker.close()
    go.set()
    late.join()
    assert ended == [0]
