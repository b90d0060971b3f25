"""Native threads: results and failures come back, greenlets go on meanwhile."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import gevent
import pytest

from sidecar.limits import native_calls, threads
from sidecar.limits.threads import NativePool
from sidecar.plugin import in_background, run_inline, working_on
from tests.unit.limits.crowding import most_at_once


@pytest.fixture
def pool() -> Iterator[NativePool]:
    """Two threads."""
    native = NativePool(2)
    yield native
    native.close()


def test_value_comes_from_another_thread(pool: NativePool) -> None:
    """A call runs in a thread that is not the caller's, with its arguments, and its value comes back."""

    def add(a: int, *, b: int) -> tuple[int, int]:
        return threading.get_ident(), a + b

    thread, value = pool(add, 1, b=2)
    assert value == 3
    assert thread != threading.get_ident()


@pytest.mark.parametrize(
    "error", [ValueError("as it was"), MemoryError(), SystemExit(3), gevent.GreenletExit()], ids=repr
)
def test_failure_comes_back_as_it_was(
    pool: NativePool, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a call raises is raised where its value is awaited; nothing is printed and no thread is lost."""

    def fail() -> None:
        raise error

    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            pool(fail)
        assert caught.value is error
    assert pool(lambda: 1) == 1
    assert capsys.readouterr().err == ""


def test_greenlets_go_on(pool: NativePool) -> None:
    """While a call is under way others run."""
    go = threading.Event()
    waiting = gevent.spawn(pool, go.wait, 30)
    gevent.sleep(0)
    assert pool(lambda: "another") == "another"
    assert not waiting.ready()
    go.set()
    assert waiting.get(timeout=30)


def test_no_more_at_once_than_threads(pool: NativePool) -> None:
    """Calls beyond the threads wait their turn, and all are done."""
    assert most_at_once(pool) == 2


def test_killed_while_it_waits_for_a_thread(pool: NativePool) -> None:
    """A greenlet that is killed while it waits for a thread leaves none occupied."""
    go = threading.Event()
    busy = [gevent.spawn(pool, go.wait, 30) for _ in range(2)]
    gevent.sleep(0)
    late = [gevent.spawn(pool, time.monotonic) for _ in range(3)]
    gevent.sleep(0)
    gevent.killall(late, timeout=10)
    go.set()
    gevent.joinall(busy, timeout=30)
    assert [pool(lambda: 1) for _ in range(4)] == [1] * 4


def test_nice_threads_give_way() -> None:
    """The threads of a nice pool have a lower priority, and the caller keeps its own."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    native = NativePool(1, nice=5)
    try:
        own = native(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    finally:
        native.close()
    assert own >= min(before + 1, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_work_that_nobody_waits_for_has_threads_of_its_own() -> None:
    """It runs in the background, its image recorded, though all other threads are busy, or in a pool without one."""
    noted: list[str] = []

    def note(image: str) -> AbstractContextManager[None]:
        noted.append(image)
        return nullcontext()

    background = NativePool(1, note=note)
    native, alone = NativePool(1, background=background), NativePool(1)
    go = threading.Event()
    try:
        busy = gevent.spawn(native, go.wait, 30)
        gevent.sleep(0)
        quiet = in_background(native)
        thread = working_on(quiet, "x")(threading.get_ident)
        assert (quiet(threading.get_ident), noted, busy.ready()) == (thread, ["x", ""], False)
        go.set()
        assert busy.get(timeout=30)
        assert native(threading.get_ident) != thread
        assert in_background(alone) is alone
        assert in_background(run_inline) is run_inline
    finally:
        go.set()
        native.close()
        alone.close()
    assert background._pool.size == 0


def test_run_inline() -> None:
    """`run_inline` runs the call in the calling thread."""
    assert run_inline(threading.get_ident) == threading.get_ident()


class Pixels:
    """What a call works with."""


def test_who_waited_for_a_thread_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a call worked with is free when it has returned, without the collector, however long it waited to begin."""
    for module in (threads, native_calls):
        monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    native, go = NativePool(1, stall=100), threading.Event()
    gc.collect()
    gc.disable()
    try:
        first = native.spawn(go.wait, 30)
        made = [Pixels(), Pixels()]
        gone = [weakref.ref(pixels) for pixels in made]
        # One waits for the thread, and the other one to be handed to the pool.
        others = [gevent.spawn(native, id, pixels) for pixels in made]
        del made
        gevent.sleep(0.1)
        go.set()
        first.get()
        gevent.joinall(others, raise_error=True)
        del others
        native.close()
        assert [pixels() for pixels in gone] == [None, None]
    finally:
        go.set()
        gc.enable()
