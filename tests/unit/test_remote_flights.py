"""Work that many wait for and that is done once."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from sidecar.errors import SourceError
from sidecar.remote.flights import Flights, Land


def forever(land: Land[str, int]) -> None:
    """Work that never ends."""
    del land
    Event().wait()


def test_values_land_one_by_one() -> None:
    """Who waits for the first value goes on before the second is there."""
    flights: Flights[str, int] = Flights()
    second = Event()

    def work(land: Land[str, int]) -> None:
        land("a", 1)
        second.wait()
        land("b", 2)

    flights.launch("ab", work)
    waiting = flights.find("b")
    under_way = flights.find("a")
    assert under_way is not None
    assert under_way.get(timeout=5) == 1
    assert flights.find("a") is None
    assert waiting is not None
    assert not waiting.ready()
    second.set()
    assert waiting.get(timeout=5) == 2


def test_a_failure_wakes_all_that_wait() -> None:
    """The error of the work is raised in each of them, and the key is free for another try."""
    flights: Flights[str, int] = Flights()

    def work(land: Land[str, int]) -> None:
        land("a", 1)
        raise SourceError("broken")

    landed = flights.launch("abc", work)
    assert landed["a"].get(timeout=5) == 1
    for key in "bc":
        with pytest.raises(SourceError, match="broken"):
            landed[key].get(timeout=5)
        assert flights.find(key) is None


def test_a_cancelled_greenlet_takes_nothing_from_the_others() -> None:
    """The one that began the work is killed; the one that joined it gets the value."""
    flights: Flights[str, int] = Flights()
    go = Event()

    def work(land: Land[str, int]) -> None:
        go.wait()
        land("a", 1)

    def begin() -> int | None:
        return flights.launch("a", work)["a"].get()

    first = gevent.spawn(begin)
    gevent.sleep(0)
    joined = flights.find("a")
    first.kill()
    go.set()
    assert joined is not None
    assert joined.get(timeout=5) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_close_wakes_all_that_wait(begun: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Work that is broken off, or has not begun to run, leaves nobody waiting."""
    flights: Flights[str, int] = Flights()
    waiting = flights.launch("ab", forever)
    if begun:
        gevent.sleep(0)
    flights.close()
    for result in waiting.values():
        with pytest.raises(SourceError, match="closed"):
            result.get(timeout=5)


def test_keys_under_way_are_left_alone() -> None:
    """A second work that lands the same key as well changes nothing for those who wait for the first."""
    flights: Flights[str, int] = Flights()
    go = Event()

    def first(land: Land[str, int]) -> None:
        go.wait()
        land("a", 1)

    def second(land: Land[str, int]) -> None:
        land("a", 2)
        land("b", 2)

    a = flights.launch("a", first)["a"]
    b = flights.launch("ab", second)["b"]
    assert b.get(timeout=5) == 2
    assert not a.ready()
    go.set()
    assert a.get(timeout=5) == 1


def test_a_key_may_fly_again_before_its_first_work_ends() -> None:
    """What landed early and was launched again is not ended by the end of the work that landed it first."""
    flights: Flights[str, int] = Flights()
    end = Event()

    def work(land: Land[str, int]) -> None:
        land("a", 1)
        end.wait()

    flights.launch("a", work)["a"].get(timeout=5)
    again = flights.launch("a", forever)["a"]
    end.set()
    gevent.sleep(0.01)
    assert not again.ready()
    assert flights.find("a") is again
    flights.close()
