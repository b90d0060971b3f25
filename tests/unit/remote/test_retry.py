"""Turns, further attempts and the time they may take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import gevent
import pytest
from gevent.event import Event

from sidecar.plugin import SourceError, SourceTimeout
from sidecar.remote.retry import RetryPolicy
from sidecar.remote.transport import Transient


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, without making them."""
    made: list[float] = []
    monkeypatch.setattr("sidecar.remote.retry.gevent.sleep", made.append)
    return made


def failing(times: int, after: float = 0.0) -> Callable[[], int]:
    """Make an attempt that fails so often and then returns the number of attempts."""
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
    assert RetryPolicy("o", concurrency=1, timeout=60, attempts=5).run(failing(4)) == 5
    assert len(pauses) == 4
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert longest / 2 <= pause <= longest


def test_gives_up_with_the_last_error(pauses: list[float]) -> None:
    """After as many attempts as set, the last error is raised."""
    with pytest.raises(SourceError, match="failure 3"):
        RetryPolicy("o", concurrency=1, timeout=60, attempts=3).run(failing(9))
    assert len(pauses) == 2


def test_retry_after_is_honoured(pauses: list[float]) -> None:
    """The origin's own pause counts if it is longer."""
    assert RetryPolicy("o", concurrency=1, timeout=60, attempts=2).run(failing(1, after=7)) == 2
    assert pauses == [7]


def test_retry_after_beyond_the_time_ends_the_attempts(pauses: list[float]) -> None:
    """No pause is made that the deadline would cut off; the failure is raised."""
    with pytest.raises(SourceError, match="failure 1"):
        RetryPolicy("o", concurrency=1, timeout=5, attempts=9).run(failing(1, after=6))
    assert pauses == []


def test_other_errors_are_not_tried_again() -> None:
    """An error that is not Transient is raised at once."""
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise SourceError("sure")

    with pytest.raises(SourceError, match="sure"):
        RetryPolicy("o", concurrency=1, timeout=5, attempts=9).run(attempt)
    assert len(calls) == 1


def test_the_time_is_over() -> None:
    """An attempt that hangs is broken off, and its turn is another's."""
    policy = RetryPolicy("remote", concurrency=1, timeout=0.02, attempts=9)
    with pytest.raises(SourceTimeout, match="remote"):
        policy.run(Event().wait)
    assert policy.run(lambda: 1) == 1


def test_waiting_for_a_turn_counts() -> None:
    """The time to wait for a turn is part of the deadline."""
    policy = RetryPolicy("remote", concurrency=1, timeout=0.05, attempts=1)

    done = Event()

    def stubborn() -> None:
        """Keep the turn beyond the deadline."""
        with suppress(gevent.Timeout):
            Event().wait()
        done.wait()

    first = gevent.spawn(policy.run, stubborn)
    gevent.sleep(0)
    with pytest.raises(SourceTimeout):
        policy.run(lambda: 1)
    done.set()
    first.get(timeout=60)


def test_a_deadline_around_it_is_not_swallowed() -> None:
    """A shorter gevent.Timeout of the caller comes through as itself, and the turn is free again."""
    policy = RetryPolicy("remote", concurrency=1, timeout=30, attempts=9)
    with pytest.raises(gevent.Timeout) as outer, gevent.Timeout(0.01) as timer:
        policy.run(Event().wait)
    assert outer.value is timer
    assert policy.run(lambda: 1) == 1


def test_so_many_at_once() -> None:
    """Never more than the cap, and all get their turn; one killed while it waits takes no turn away."""
    policy = RetryPolicy("remote", concurrency=3, timeout=30, attempts=1)
    now, most = 0, 0

    def attempt() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        gevent.sleep(0.001)
        now -= 1

    jobs = [gevent.spawn(policy.run, attempt) for _ in range(20)]
    gevent.sleep(0)
    jobs[10].kill()
    gevent.joinall(jobs, raise_error=True)
    assert (now, most) == (0, 3)


def test_a_pause_holds_no_turn() -> None:
    """While one waits to try again, another may ask."""
    policy = RetryPolicy("remote", concurrency=1, timeout=30, attempts=2)
    waiting = gevent.spawn(policy.run, failing(1))
    gevent.sleep(0)
    assert policy.run(lambda: 1) == 1
    assert waiting.get(timeout=60) == 2
