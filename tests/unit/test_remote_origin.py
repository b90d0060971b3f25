"""Turns, further attempts and the time they may take."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from sidecar.errors import SourceError, SourceTimeout
from sidecar.remote.origin import Origin
from sidecar.remote.transport import Transient


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, without making them."""
    made: list[float] = []
    monkeypatch.setattr("sidecar.remote.origin.gevent.sleep", made.append)
    return made


def failing(times: int, after: float = 0.0) -> Callable[[], int]:
    """An attempt that fails so often and then gives the number of attempts."""
    made = 0

    def attempt() -> int:
        nonlocal made
        made += 1
        if made <= times:
            raise Transient(SourceError(f"failure {made}"), after)
        return made

    return attempt


def test_tries_again_with_longer_pauses(pauses: list[float]) -> None:
    """Each pause is drawn from the upper half of an interval that doubles."""
    assert Origin("o", concurrency=1, timeout=60, attempts=5).ask(failing(4)) == 5
    assert len(pauses) == 4
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert longest / 2 <= pause <= longest


def test_gives_up_with_the_last_error(pauses: list[float]) -> None:
    """As many attempts as set, then what the last one said."""
    with pytest.raises(SourceError, match="failure 3"):
        Origin("o", concurrency=1, timeout=60, attempts=3).ask(failing(9))
    assert len(pauses) == 2


def test_retry_after_is_honoured(pauses: list[float]) -> None:
    """The far place's own wish counts where it is longer."""
    assert Origin("o", concurrency=1, timeout=60, attempts=2).ask(failing(1, after=7)) == 2
    assert pauses == [7]


def test_retry_after_beyond_the_time_is_an_answer(pauses: list[float]) -> None:
    """Nobody waits for what cannot come in time."""
    with pytest.raises(SourceError, match="failure 1"):
        Origin("o", concurrency=1, timeout=5, attempts=9).ask(failing(1, after=6))
    assert pauses == []


def test_other_errors_are_not_tried_again() -> None:
    """What is sure is said at once."""
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise SourceError("sure")

    with pytest.raises(SourceError, match="sure"):
        Origin("o", concurrency=1, timeout=5, attempts=9).ask(attempt)
    assert len(calls) == 1


def test_the_time_is_over() -> None:
    """An attempt that hangs is broken off, and its turn is another's."""
    origin = Origin("far", concurrency=1, timeout=0.02, attempts=9)
    with pytest.raises(SourceTimeout, match="far"):
        origin.ask(Event().wait)
    assert origin.ask(lambda: 1) == 1


def test_waiting_for_a_turn_counts() -> None:
    """Who does not get a turn in time hears so."""
    origin = Origin("far", concurrency=1, timeout=0.05, attempts=1)

    def patient() -> None:
        with pytest.raises(SourceTimeout):
            origin.ask(Event().wait)

    first = gevent.spawn(patient)
    gevent.sleep(0)
    with pytest.raises(SourceTimeout):
        origin.ask(lambda: 1)
    first.get(timeout=5)


def test_a_deadline_around_it_is_not_swallowed() -> None:
    """A shorter gevent.Timeout of the caller comes through as itself, and the turn is free again."""
    origin = Origin("far", concurrency=1, timeout=30, attempts=9)
    with pytest.raises(gevent.Timeout) as outer, gevent.Timeout(0.01) as timer:
        origin.ask(Event().wait)
    assert outer.value is timer
    assert origin.ask(lambda: 1) == 1


def test_so_many_at_once() -> None:
    """Never more than the cap, and all get their turn; one killed while it waits takes no turn away."""
    origin = Origin("far", concurrency=3, timeout=30, attempts=1)
    now, most = 0, 0

    def attempt() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        gevent.sleep(0.001)
        now -= 1

    jobs = [gevent.spawn(origin.ask, attempt) for _ in range(20)]
    gevent.sleep(0)
    jobs[10].kill()
    gevent.joinall(jobs, raise_error=True)
    assert (now, most) == (0, 3)


def test_a_pause_holds_no_turn() -> None:
    """While one waits to try again, another may ask."""
    origin = Origin("far", concurrency=1, timeout=30, attempts=2)
    waiting = gevent.spawn(origin.ask, failing(1))
    gevent.sleep(0)
    assert origin.ask(lambda: 1) == 1
    assert waiting.get(timeout=5) == 2
