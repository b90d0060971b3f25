"""UninterruptibleStack: releases in order, and no deadline cuts it short."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from sidecar.errors import DeadlinePassed
from sidecar.limits import release
from sidecar.limits.release import UninterruptibleStack


def test_everything_is_released_when_close_returns() -> None:
    """Closing releases everything, the last taken first; a second call does nothing."""
    order: list[int] = []
    held = UninterruptibleStack()
    for number in range(3):
        held.callback(order.append, number)
    held.close()
    assert order == [2, 1, 0]
    held.close()
    assert order == [2, 1, 0]


def test_a_stuck_call_delays_the_release_and_not_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """`close` returns although a call is stuck; what was taken before that call is released after it."""
    monkeypatch.setattr(release, "_TIMEOUT", 0.01)
    over, order = Event(), list[str]()
    held = UninterruptibleStack()
    held.callback(order.append, "permit")
    held.callback(over.wait)
    held.close()
    assert order == []
    over.set()
    gevent.sleep(0.01)
    assert order == ["permit"]


def test_closing_again_releases_nothing_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stuck call uses stays taken until it returns, also if its response is closed after it has failed."""
    monkeypatch.setattr(release, "_TIMEOUT", 0.01)
    over, order = Event(), list[str]()
    held = UninterruptibleStack()
    held.callback(order.append, "permit")
    held.callback(over.wait)
    with pytest.raises(ZeroDivisionError), held:
        _ = 1 // 0
    held.close()
    assert order == []
    over.set()
    gevent.sleep(0.01)
    assert order == ["permit"]


def test_a_deadline_interrupts_the_request_and_not_the_release() -> None:
    """A deadline that passes meanwhile is raised at once, and the release goes on."""
    over, order = Event(), list[str]()
    held = UninterruptibleStack()
    held.callback(order.append, "permit")
    held.callback(over.wait)
    with pytest.raises(DeadlinePassed), gevent.Timeout(0.01, DeadlinePassed("late")):
        held.close()
    over.set()
    gevent.sleep(0.01)
    assert order == ["permit"]


def test_the_error_is_passed_on_and_not_swallowed() -> None:
    """What is held receives the error that ends it, and the error is raised all the same."""
    passed: list[object] = []
    held = UninterruptibleStack()

    def swallow(_: object, error: BaseException | None, __: object) -> bool:
        passed.append(error)
        return True

    held.push(swallow)
    with pytest.raises(ZeroDivisionError), held:
        _ = 1 // 0
    assert isinstance(passed[0], ZeroDivisionError)
