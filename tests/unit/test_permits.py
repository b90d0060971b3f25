"""Permits: the memory budget is kept, in order, and comes back whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import Overloaded, TooLarge
from sidecar.permits import Permits


@pytest.fixture
def permits() -> Iterator[Permits]:
    """A budget of 100 bytes, of which large work may hold 75."""
    made = Permits(100, queue=2, patience=5)
    yield made
    assert made.held == 0
    assert made.waiting == 0


def hold(permits: Permits, size: int, until: Event, *, large: bool = False) -> gevent.Greenlet[..., None]:
    """Work that holds a permit until told otherwise."""

    def work() -> None:
        with permits.take(size, large=large):
            until.wait()

    greenlet = gevent.spawn(work)
    gevent.sleep(0)
    return greenlet


def test_large_work_leaves_room_for_small(permits: Permits) -> None:
    """A second large answer waits while a tile still gets in."""
    done = Event()
    first = hold(permits, 75, done, large=True)
    second = hold(permits, 10, done, large=True)
    tile = hold(permits, 25, done)
    assert permits.held == 100
    assert permits.waiting == 1
    done.set()
    gevent.joinall([first, second, tile], raise_error=True)


def test_first_come_first_served(permits: Permits) -> None:
    """Work that would fit does not overtake work of its lane that came before it."""
    done, order = Event(), []
    hold(permits, 80, done)

    def work(name: str, size: int) -> None:
        with permits.take(size, large=False):
            order.append(name)

    greenlets = [gevent.spawn(work, "wide", 50), gevent.spawn(work, "thin", 10)]
    gevent.sleep(0)
    assert order == []
    done.set()
    gevent.joinall(greenlets, raise_error=True)
    assert order == ["wide", "thin"]


def test_what_never_fits_is_refused_at_once(permits: Permits) -> None:
    """A permit beyond the lane's limit is a clear error and not an endless wait."""
    with pytest.raises(TooLarge, match="memory"), permits.take(76, large=True):
        pass
    with pytest.raises(TooLarge), permits.take(101, large=False):
        pass


def test_full_queue_refuses_at_once(permits: Permits) -> None:
    """Two may wait; the third is told to come again."""
    done = Event()
    running = [hold(permits, 100, done), hold(permits, 60, done), hold(permits, 60, done)]
    with pytest.raises(Overloaded, match="wait"), permits.take(60, large=False):
        pass
    done.set()
    gevent.joinall(running, raise_error=True)


def test_patience_runs_out() -> None:
    """Who waits too long is told so, and leaves no trace in the queue."""
    permits = Permits(100, queue=2, patience=0.01)
    done = Event()
    running = hold(permits, 100, done)
    with pytest.raises(Overloaded, match="in time"), permits.take(1, large=False):
        pass
    assert permits.waiting == 0
    done.set()
    running.join()
    assert permits.held == 0


def test_killed_while_waiting(permits: Permits) -> None:
    """A greenlet that is killed in the queue leaves it."""
    done = Event()
    running, waiting = hold(permits, 100, done), hold(permits, 50, done)
    waiting.kill()
    assert permits.waiting == 0
    done.set()
    running.join()


def test_failure_gives_back(permits: Permits) -> None:
    """Work that raises gives its permit back."""
    with pytest.raises(ZeroDivisionError), permits.take(50, large=True):
        _ = 1 // 0
    assert permits.held == 0


@given(st.lists(st.tuples(st.integers(1, 75), st.booleans(), st.integers(0, 3)), max_size=30))
def test_never_over_budget(work: list[tuple[int, bool, int]]) -> None:
    """Whatever comes in whatever order, the budget holds at every moment and all are served."""
    permits = Permits(100, queue=100, patience=60)
    seen = []

    def run(size: int, turns: int, *, large: bool) -> None:
        with permits.take(size, large=large):
            for _ in range(turns):
                seen.append(permits.held)
                gevent.sleep(0)
            seen.append(permits.held)

    greenlets = [gevent.spawn(run, size, turns, large=large) for size, large, turns in work]
    gevent.joinall(greenlets, raise_error=True)
    assert max(seen, default=0) <= 100
    assert permits.held == 0
