"""Single flight: several callers wait for work that is done once."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from sidecar.plugin import SourceError
from sidecar.remote.single_flight import Publish, SingleFlight


def forever(publish: Publish[str, int]) -> None:
    """Work that never ends."""
    del publish
    Event().wait()


def test_values_are_published_one_by_one() -> None:
    """Who waits for the first value goes on before the second is there."""
    flights: SingleFlight[str, int] = SingleFlight()
    second = Event()

    def work(publish: Publish[str, int]) -> None:
        publish("a", 1)
        second.wait()
        publish("b", 2)

    flights.start("ab", work)
    waiting = flights.find("b")
    under_way = flights.find("a")
    assert under_way is not None
    assert under_way.get(timeout=60) == 1
    assert flights.find("a") is None
    assert waiting is not None
    assert not waiting.ready()
    second.set()
    assert waiting.get(timeout=60) == 2


def test_a_failure_wakes_all_that_wait() -> None:
    """The error of the work is raised in each of them, and the key is free for another try."""
    flights: SingleFlight[str, int] = SingleFlight()

    def work(publish: Publish[str, int]) -> None:
        publish("a", 1)
        raise SourceError("broken")

    under_way = flights.start("abc", work)
    assert under_way["a"].get(timeout=60) == 1
    for key in "bc":
        with pytest.raises(SourceError, match="broken"):
            under_way[key].get(timeout=60)
        assert flights.find(key) is None


def test_a_cancelled_greenlet_takes_nothing_from_the_others() -> None:
    """The one that began the work is killed; the one that joined it gets the value."""
    flights: SingleFlight[str, int] = SingleFlight()
    go = Event()

    def work(publish: Publish[str, int]) -> None:
        go.wait()
        publish("a", 1)

    def begin() -> int | None:
        return flights.start("a", work)["a"].get()

    first = gevent.spawn(begin)
    gevent.sleep(0)
    joined = flights.find("a")
    first.kill()
    go.set()
    assert joined is not None
    assert joined.get(timeout=60) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_close_wakes_all_that_wait(begun: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Work that is cancelled, or has not begun to run, leaves nobody waiting."""
    flights: SingleFlight[str, int] = SingleFlight()
    waiting = flights.start("ab", forever)
    if begun:
        gevent.sleep(0)
    flights.close()
    for result in waiting.values():
        with pytest.raises(SourceError, match="closed"):
            result.get(timeout=60)


def test_keys_under_way_are_left_alone() -> None:
    """A second work that publishes the same key changes nothing for those that wait for the first."""
    flights: SingleFlight[str, int] = SingleFlight()
    go = Event()

    def first(publish: Publish[str, int]) -> None:
        go.wait()
        publish("a", 1)

    def second(publish: Publish[str, int]) -> None:
        publish("a", 2)
        publish("b", 2)

    a = flights.start("a", first)["a"]
    b = flights.start("ab", second)["b"]
    assert b.get(timeout=60) == 2
    assert not a.ready()
    go.set()
    assert a.get(timeout=60) == 1


def test_a_key_may_be_started_again_before_its_first_work_ends() -> None:
    """A key that was published and started again is not failed when the work that published it ends."""
    flights: SingleFlight[str, int] = SingleFlight()
    end = Event()

    def work(publish: Publish[str, int]) -> None:
        publish("a", 1)
        end.wait()

    flights.start("a", work)["a"].get(timeout=60)
    again = flights.start("a", forever)["a"]
    end.set()
    gevent.sleep(0.01)
    assert not again.ready()
    assert flights.find("a") is again
    flights.close()
