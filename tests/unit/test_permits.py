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


def test_large_work_takes_turns_however_much_memory_there_is() -> None:
    """No more large work runs at once than there are places for; small work is not held up by it."""
    permits = Permits(100, queue=5, patience=5, large=1)
    done = Event()
    first, second = hold(permits, 10, done, large=True), hold(permits, 10, done, large=True)
    tile = hold(permits, 10, done)
    assert (permits.held, permits.waiting) == (20, 1)
    done.set()
    gevent.joinall([first, second, tile], raise_error=True)
    assert (permits.held, permits.waiting) == (0, 0)


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


def served(permits: Permits, requests: list[tuple[str, int]]) -> list[str]:
    """The order in which clients are served that come while everything is taken; '!' where one is refused."""
    done, order = Event(), list[str]()
    running = hold(permits, 100, done)

    def work(client: str, size: int) -> None:
        try:
            with permits.take(size, large=False, client=client):
                order.append(client)
        except Overloaded:
            order.append(f"{client}!")

    greenlets = []
    for client, size in requests:
        greenlets.append(gevent.spawn(work, client, size))
        gevent.sleep(0)
    done.set()
    gevent.joinall([running, *greenlets], raise_error=True)
    return order


def test_clients_take_turns() -> None:
    """A client with one request is served after one of the crawler's that came long before, not after all."""
    permits = Permits(100, queue=10, patience=5)
    assert served(permits, [("crawler", 100)] * 4 + [("b", 100), ("c", 100)]) == [
        *("crawler", "b", "c"),
        *("crawler",) * 3,
    ]


def test_a_crawler_cannot_fill_the_queue() -> None:
    """In a full queue a newcomer takes the place of whoever has most waiting; with as many itself, it is refused."""
    permits = Permits(100, queue=3, patience=5)
    requests = [("crawler", 100)] * 5 + [("b", 100), ("c", 100), ("d", 100), ("b", 100)]
    order = served(permits, requests)
    assert order[:6] == ["crawler!", "crawler!", "crawler!", "crawler!", "d!", "b!"]
    assert order[6:] == ["crawler", "b", "c"]


def test_who_waits_is_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a request waits it is asked again and again whether it should go on, and leaves the queue where not."""
    monkeypatch.setattr("sidecar.permits._LOOK", 0.001)
    permits, done, asked = Permits(100, queue=2, patience=30), Event(), list[int]()
    running = hold(permits, 100, done)

    def proceed() -> None:
        asked.append(permits.waiting)
        if len(asked) == 3:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError), permits.take(1, large=False, proceed=proceed):
        pass
    assert asked == [1, 1, 1]
    assert permits.waiting == 0
    done.set()
    running.join()
    assert permits.held == 0
