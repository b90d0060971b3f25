"""The least speed: clients that read nothing or a trickle are cut off, those that pause are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gevent
import pytest

from sidecar.errors import ClientTooSlow
from sidecar.limits.least_speed import LeastSpeed


def take(speed: LeastSpeed, pieces: Sequence[tuple[int, float]]) -> Iterator[int]:
    """Take pieces of a number of bytes, in a number of seconds each."""
    for size, seconds in pieces:
        speed.begin(size)
        gevent.sleep(seconds)
        speed.end()
        yield size


@pytest.mark.parametrize("pieces", [[(10, 60.0)], [(1, 0.04)] * 100], ids=["nothing", "a trickle"])
def test_who_is_slower_is_cut_off(pieces: Sequence[tuple[int, float]]) -> None:
    """A client that takes nothing for the window, or less than the speed for longer, is cut off."""
    speed = LeastSpeed(1000, 0.2)
    with pytest.raises(ClientTooSlow):
        list(take(speed, pieces))
    speed.end()
    assert speed.passed


def test_who_pauses_is_not() -> None:
    """Time in which the worker computes does not count, and what was taken gives time again."""
    speed = LeastSpeed(1000, 10)
    for _ in take(speed, [(1_000_000, 0.05), (10, 0.0), (1000, 0.05)]):
        gevent.sleep(0.02)
    assert not speed.passed


def test_who_is_excused_has_time_until_it_is_not() -> None:
    """When time is up the client has more as long as it is excused, and is cut off when it no longer is."""
    excuses = [True, True, False]
    speed = LeastSpeed(1000, 0.02, lambda: excuses.pop(0))
    with pytest.raises(ClientTooSlow):
        list(take(speed, [(10, 60.0)]))
    assert excuses == []


def test_no_limit() -> None:
    """A speed of 0 is none."""
    assert list(take(LeastSpeed(0, 0.001), [(10, 0.05)])) == [10]
