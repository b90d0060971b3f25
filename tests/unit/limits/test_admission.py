"""Admission: the memory budget is kept, in order, and comes back whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import Overloaded, Stalled, TooLarge
from sidecar.limits.admission import Admission


@pytest.fixture
def admission() -> Iterator[Admission]:
    """Yield a budget of 100 bytes, of which large responses may hold 75; everything is returned in the end."""
    made = Admission(100, queue=2, timeout=5)
    yield made
    assert made.held == 0
    assert made.waiting == 0


def hold(admission: Admission, size: int, until: Event, *, large: bool = False) -> gevent.Greenlet[..., None]:
    """Start a greenlet that holds a permit until an event."""

    def work() -> None:
        with admission.take(size, large=large):
            until.wait()

    greenlet = gevent.spawn(work)
    gevent.sleep(0)
    return greenlet


def test_large_responses_leave_room_for_small(admission: Admission) -> None:
    """A second large response waits while a tile is still admitted."""
    done = Event()
    first = hold(admission, 75, done, large=True)
    second = hold(admission, 10, done, large=True)
    tile = hold(admission, 25, done)
    assert admission.held == 100
    assert admission.waiting == 1
    done.set()
    gevent.joinall([first, second, tile], raise_error=True)


def test_first_come_first_served(admission: Admission) -> None:
    """A request that would fit does not overtake one of its lane that came before it."""
    done, order = Event(), []
    hold(admission, 80, done)

    def work(name: str, size: int) -> None:
        with admission.take(size, large=False):
            order.append(name)

    greenlets = [gevent.spawn(work, "wide", 50), gevent.spawn(work, "thin", 10)]
    gevent.sleep(0)
    assert order == []
    done.set()
    gevent.joinall(greenlets, raise_error=True)
    assert order == ["wide", "thin"]


def test_large_responses_take_turns_however_much_memory_there_is() -> None:
    """No more large responses run at once than may; small ones do not wait for them."""
    admission = Admission(100, queue=5, timeout=5, large=1)
    done = Event()
    first, second = hold(admission, 10, done, large=True), hold(admission, 10, done, large=True)
    tile = hold(admission, 10, done)
    assert (admission.held, admission.waiting) == (20, 1)
    done.set()
    gevent.joinall([first, second, tile], raise_error=True)
    assert (admission.held, admission.waiting) == (0, 0)


def test_what_never_fits_is_refused_at_once(admission: Admission) -> None:
    """A permit beyond the lane's limit is an error and not an endless wait."""
    with pytest.raises(TooLarge, match="memory"), admission.take(76, large=True):
        pass
    with pytest.raises(TooLarge), admission.take(101, large=False):
        pass


def test_full_queue_refuses_at_once(admission: Admission) -> None:
    """Two may wait; the third is refused."""
    done = Event()
    running = [hold(admission, 100, done), hold(admission, 60, done), hold(admission, 60, done)]
    with pytest.raises(Overloaded, match="wait"), admission.take(60, large=False):
        pass
    done.set()
    gevent.joinall(running, raise_error=True)


def test_waiting_ends_at_the_timeout() -> None:
    """A request that waits too long is refused, and leaves the queue."""
    admission = Admission(100, queue=2, timeout=0.01)
    done = Event()
    running = hold(admission, 100, done)
    with pytest.raises(Overloaded, match="in time"), admission.take(1, large=False):
        pass
    assert admission.waiting == 0
    done.set()
    running.join()
    assert admission.held == 0


def test_killed_while_waiting(admission: Admission) -> None:
    """A greenlet that is killed in the queue leaves it."""
    done = Event()
    running, waiting = hold(admission, 100, done), hold(admission, 50, done)
    waiting.kill()
    assert admission.waiting == 0
    done.set()
    running.join()


def test_failure_returns_the_permit(admission: Admission) -> None:
    """A response that raises returns its permit."""
    with pytest.raises(ZeroDivisionError), admission.take(50, large=True):
        _ = 1 // 0
    assert admission.held == 0


@given(st.lists(st.tuples(st.integers(1, 75), st.booleans(), st.integers(0, 3)), max_size=30))
def test_never_over_budget(work: list[tuple[int, bool, int]]) -> None:
    """Whatever comes in whatever order, the budget is kept at every moment and all are served."""
    admission = Admission(100, queue=100, timeout=60)
    seen = []

    def run(size: int, turns: int, *, large: bool) -> None:
        with admission.take(size, large=large):
            for _ in range(turns):
                seen.append(admission.held)
                gevent.sleep(0)
            seen.append(admission.held)

    greenlets = [gevent.spawn(run, size, turns, large=large) for size, large, turns in work]
    gevent.joinall(greenlets, raise_error=True)
    assert max(seen, default=0) <= 100
    assert admission.held == 0


def served(admission: Admission, requests: list[tuple[str, int]]) -> list[str]:
    """Return the order in which clients are served that come while everything is taken; '!' marks a refused one."""
    done, order = Event(), list[str]()
    running = hold(admission, 100, done)

    def work(client: str, size: int) -> None:
        try:
            with admission.take(size, large=False, client=client):
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
    admission = Admission(100, queue=10, timeout=5)
    assert served(admission, [("crawler", 100)] * 4 + [("b", 100), ("c", 100)]) == [
        *("crawler", "b", "c"),
        *("crawler",) * 3,
    ]


def test_a_crawler_cannot_fill_the_queue() -> None:
    """In a full queue the last request of the client with most is refused; at a tie, the new one."""
    admission = Admission(100, queue=3, timeout=5)
    requests = [("crawler", 100)] * 5 + [("b", 100), ("c", 100), ("d", 100), ("b", 100)]
    order = served(admission, requests)
    assert order[:6] == ["crawler!", "crawler!", "crawler!", "crawler!", "d!", "b!"]
    assert order[6:] == ["crawler", "b", "c"]


def test_waiting_clients_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a request waits, its client is checked again and again; if the check raises, the request leaves."""
    monkeypatch.setattr("sidecar.limits.admission._CHECK_EVERY", 0.001)
    admission, done, asked = Admission(100, queue=2, timeout=30), Event(), list[int]()
    running = hold(admission, 100, done)

    def check_alive() -> None:
        asked.append(admission.waiting)
        if len(asked) == 3:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError), admission.take(1, large=False, check_alive=check_alive):
        pass
    assert asked == [1, 1, 1]
    assert admission.waiting == 0
    done.set()
    running.join()
    assert admission.held == 0


class Paused:
    """What a response drops when it is paused."""

    def __init__(self) -> None:
        self.ready = True
        self.times = 0

    def __call__(self) -> bool:
        """Drop it, if that is possible now."""
        self.times += self.ready
        return self.ready


def slow(
    admission: Admission, size: int, rest: int, go_on: Event, over: Event
) -> tuple[gevent.Greenlet[..., None], Paused]:
    """Start a large response that may be paused, whose client reads nothing until an event."""
    paused = Paused()

    def work() -> None:
        with admission.take(size, large=True, client=f"slow {id(paused)}") as place:
            place.pausable(rest, paused)
            place.lend()
            go_on.wait()
            place.resume()
            over.wait()

    greenlet = gevent.spawn(work)
    gevent.sleep(0)
    return greenlet, paused


def lent(admission: Admission, size: int, go_on: Event, over: Event) -> gevent.Greenlet[..., None]:
    """Start one that has nothing to drop."""
    return slow(admission, size, size, go_on, over)[0]


def test_a_response_whose_client_does_not_read_has_no_place() -> None:
    """Another takes its place soon; its bytes stay counted, and it goes on before those that have not begun."""
    admission = Admission(100, queue=5, timeout=30, large=1)
    go_on, over, other, third = Event(), Event(), Event(), Event()
    slow = lent(admission, 30, go_on, over)
    second = hold(admission, 30, other, large=True)
    assert (admission.held, admission.waiting) == (30, 1)
    gevent.sleep(1.5)
    assert (admission.held, admission.waiting) == (60, 0)
    last = hold(admission, 10, third, large=True)
    go_on.set()
    gevent.sleep(0)
    assert admission.waiting == 1
    other.set()
    second.join()
    # The place is the slow one's again, for which the last one waits.
    assert (admission.held, admission.waiting) == (30, 1)
    over.set()
    third.set()
    gevent.joinall([slow, last], raise_error=True)
    assert admission.held == 0


def test_a_response_that_nobody_wants_the_place_of_keeps_it() -> None:
    """As long as nobody waits, a response goes on at once however long its client took."""
    admission = Admission(100, queue=5, timeout=5, large=1)
    with admission.take(10, large=True) as place:
        place.lend()
        gevent.sleep(0.6)
        place.resume()
        second = gevent.spawn(lambda: admission.take(10, large=True).__enter__())
        gevent.sleep(0.01)
        assert admission.waiting == 1
        second.kill()


def test_a_response_whose_client_does_not_read_gives_its_memory_to_others() -> None:
    """If there is no room for another response, one whose client does not read is paused, and asks for memory again."""
    admission = Admission(100, queue=5, timeout=30)
    go_on, over, other, third = Event(), Event(), Event(), Event()
    blocked, paused = slow(admission, 60, 5, go_on, over)
    paused.ready = False
    second = hold(admission, 60, other, large=True)
    gevent.sleep(0.6)
    assert (admission.held, admission.waiting) == (60, 1)
    paused.ready = True
    gevent.sleep(1.2)
    assert (admission.held, admission.waiting, paused.times) == (65, 0, 1)
    go_on.set()
    gevent.sleep(0)
    # It has begun, so it goes on before one that has not.
    last = hold(admission, 10, third, large=True)
    assert (admission.held, admission.waiting) == (65, 1)
    other.set()
    second.join()
    assert (admission.held, admission.waiting) == (70, 0)
    third.set()
    over.set()
    gevent.joinall([blocked, last], raise_error=True)
    assert admission.held == 0


def test_a_response_without_its_place_is_paused_as_well() -> None:
    """One whose place has gone to another for want of places gives its bytes to the next for want of bytes."""
    admission = Admission(100, queue=5, timeout=30, large=1)
    go_on, over, done = Event(), Event(), Event()
    over.set()
    blocked, paused = slow(admission, 30, 5, go_on, over)
    gevent.sleep(0.6)
    second = hold(admission, 30, done, large=True)
    assert (admission.held, paused.times) == (60, 0)
    third = hold(admission, 60, done, large=True)
    assert (admission.held, admission.waiting) == (60, 1)
    done.set()
    gevent.joinall([second, third], raise_error=True)
    assert paused.times == 1
    go_on.set()
    blocked.get(timeout=30)
    assert admission.held == 0


def test_paused_responses_never_wait_for_each_other() -> None:
    """None is paused that would leave another paused one no room to go on, whatever the others hold."""
    admission = Admission(100, queue=9, timeout=30)
    go_on, over, done = Event(), Event(), Event()
    over.set()
    # Of 75 bytes for large responses; the first needs all but 5 of them to go on.
    large, first = slow(admission, 70, 5, go_on, over)
    small, second = slow(admission, 30, 10, go_on, over)
    gevent.sleep(1.7)
    last = hold(admission, 50, done, large=True)
    gevent.sleep(1.7)
    assert (first.times, second.times) == (1, 0)
    assert (admission.held, admission.waiting) == (35, 1)
    go_on.set()
    gevent.joinall([large, small], timeout=30, raise_error=True)
    done.set()
    last.join()
    assert admission.held == 0


def test_memory_stays_counted_after_the_place_is_left() -> None:
    """A response that is over while native calls still run for it keeps its bytes, and another has the place."""
    admission = Admission(100, queue=5, timeout=5, large=1)
    with admission.take(30, large=True) as place:
        place.leave()
        with admission.take(30, large=True):
            assert admission.held == 60
    assert admission.held == 0


def test_what_was_made_stays_counted_until_it_is_sent(admission: Admission) -> None:
    """A response that is made whole keeps as many bytes as it has when its permit ends, until it gives them back."""
    with admission.take(80, large=False) as place:
        give_back = place.keep(30)
        assert admission.held == 80
    assert admission.held == 30
    for _ in range(2):
        give_back()
        assert admission.held == 0


def test_a_response_that_gives_up_while_it_waits_for_its_place() -> None:
    """Killed while it waits to go on, a response leaves nothing behind."""
    admission = Admission(100, queue=5, timeout=5, large=1)
    go_on, over, other = Event(), Event(), Event()
    slow = lent(admission, 30, go_on, over)
    gevent.sleep(0.6)
    second = hold(admission, 30, other, large=True)
    go_on.set()
    gevent.sleep(0)
    slow.kill()
    assert admission.held == 30
    other.set()
    second.join()
    with admission.take(75, large=True):
        assert admission.held == 75


def test_a_client_has_a_share() -> None:
    """Large responses of one client hold half of their memory at most, a single one all; others are not held up."""
    admission = Admission(100, queue=5, timeout=5, share=0.5)
    done = Event()

    def work(client: str, size: int) -> None:
        with admission.take(size, large=True, client=client):
            done.wait()

    greenlets = [gevent.spawn(work, client, 30) for client in ("a", "a", "b")]
    gevent.sleep(0)
    assert (admission.held, admission.waiting) == (60, 1)
    done.set()
    gevent.joinall(greenlets, raise_error=True)
    with admission.take(75, large=True, client="a"):
        assert admission.held == 75


@pytest.mark.parametrize("reason", ["stalled", "leaving"])
def test_nobody_waits_for_what_does_not_move(reason: str) -> None:
    """If native calls do not return, or the worker is about to end, those that have to wait go elsewhere at once."""
    stalled = False
    admission = Admission(100, queue=5, timeout=3600, stalled=lambda large: large and stalled)
    done = Event()
    running = hold(admission, 75, done, large=True)
    waiting = gevent.spawn(hold_and_raise, admission)
    gevent.sleep(0)
    assert admission.waiting == 1
    assert not admission.stalled
    if reason == "stalled":
        stalled = True
        assert admission.stalled
    else:
        admission.leaving = True
    with pytest.raises(Stalled):
        waiting.get(timeout=30)
    with pytest.raises(Stalled), admission.take(75, large=True):
        pass
    with admission.take(10, large=False):
        assert admission.held == 85
    done.set()
    running.join()


def hold_and_raise(admission: Admission) -> None:
    """Wait for a permit that there is not."""
    with admission.take(75, large=True):
        pass
