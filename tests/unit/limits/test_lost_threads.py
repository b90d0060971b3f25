"""Stuck native calls: their threads count as lost until they return, and what they use is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from sidecar.errors import Stalled
from sidecar.limits.threads import Calls, NativePool
from tests.unit.limits.crowding import most_at_once


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Yield the event that stuck calls wait for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def pool(go: threading.Event) -> Iterator[NativePool]:
    """Two threads."""
    native = NativePool(2)
    yield native
    go.set()
    native.close()
    assert native.busy == 0


def until_lost(pool: NativePool, count: int) -> list[str]:
    """Wait until so many calls count as lost, which have to begin first; return their images."""
    lost: list[str] = []
    with gevent.Timeout(30):
        while len(lost) < count:
            gevent.sleep(0.01)
            lost += pool.count_lost(0.001)
    return lost


def test_lost_threads_are_replaced(pool: NativePool, go: threading.Event) -> None:
    """While every thread is stuck nothing runs; once they count as lost, as many further threads run."""
    stuck = [pool.spawn_for(image, go.wait, 30) for image in ("a", "b")]
    waiting = gevent.spawn(pool, lambda: "done")
    waiting.join(0.1)
    assert not waiting.ready()
    assert pool.count_lost(3600) == []
    assert sorted(until_lost(pool, 2)) == ["a", "b"]
    assert pool.count_lost(0.001) == []
    assert (waiting.get(timeout=30), pool.lost, pool.busy) == ("done", 2, 2)
    both = [gevent.spawn(pool, threading.get_ident) for _ in range(2)]
    gevent.joinall(both, timeout=30, raise_error=True)
    go.set()
    for call in stuck:
        call.wait()
    pool.count_lost(3600)
    assert pool.lost == 0


def test_no_more_threads_than_before_when_stuck_calls_have_returned(pool: NativePool, go: threading.Event) -> None:
    """Once stuck calls have returned, no more run at once than threads were asked for."""
    stuck = pool.spawn(go.wait, 30)
    until_lost(pool, 1)
    go.set()
    stuck.wait()
    pool.count_lost(3600)
    assert most_at_once(pool) == 2


def test_images_are_recorded_while_native_code_works_on_them() -> None:
    """An image is recorded as long as the call runs, and no longer if the call fails."""
    noted: list[tuple[str, str]] = []

    @contextmanager
    def note(image: str) -> Iterator[None]:
        noted.append(("in", image))
        try:
            yield
        finally:
            noted.append(("out", image))

    def fail() -> None:
        noted.append(("call", ""))
        raise ZeroDivisionError

    pool = NativePool(1, note=note)
    with pytest.raises(ZeroDivisionError):
        Calls(pool, "x")(fail)
    pool.close()
    assert noted == [("in", "x"), ("call", ""), ("out", "x")]


def test_calls_are_waited_out(pool: NativePool, go: threading.Event) -> None:
    """Closing the calls of a request waits for the last, although the request no longer waits for it."""
    calls = Calls(pool, "x")
    calls.close()
    reader = gevent.spawn(calls, go.wait, 30)
    while not pool.busy:
        gevent.sleep(0.01)
    reader.kill()
    closing = gevent.spawn(calls.close)
    closing.join(0.05)
    assert not closing.ready()
    go.set()
    closing.join(30)
    assert closing.ready()


def test_nobody_waits_for_a_stuck_call(pool: NativePool, go: threading.Event) -> None:
    """Once a call counts as lost, whoever waits for it gives up, and the call goes on."""
    waiting = gevent.spawn(pool, go.wait, 30)
    until_lost(pool, 1)
    with pytest.raises(Stalled):
        waiting.get(timeout=30)
    assert (pool.lost, pool.busy) == (1, 1)


def test_nobody_waits_for_a_thread_of_a_stalled_pool(go: threading.Event) -> None:
    """If no call has returned for a while, those that have no thread go elsewhere; a pool that moves is waited for."""
    pool = NativePool(2, stall=0.2)
    stuck = [gevent.spawn(pool, go.wait, 30) for _ in range(2)]
    waiting = [gevent.spawn(pool, lambda: None) for _ in range(3)]
    for one in waiting:
        with pytest.raises(Stalled):
            one.get(timeout=30)
    assert pool.stalled
    go.set()
    gevent.joinall(stuck, timeout=30, raise_error=True)
    assert (pool(lambda: "done"), pool.stalled) == ("done", False)
    pool.close()


def test_a_pool_with_a_free_thread_is_not_refused(go: threading.Event) -> None:
    """A stuck call alone keeps nobody from the other threads."""
    pool = NativePool(2, stall=0.01)
    stuck = gevent.spawn(pool, go.wait, 30)
    while not pool.stalled:
        gevent.sleep(0.01)
    assert [pool(lambda: "done") for _ in range(3)] == ["done"] * 3
    go.set()
    stuck.join(30)
    pool.close()
