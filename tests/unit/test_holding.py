"""Holding: given back in order and never cut short, whoever waits for it."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from sidecar import holding
from sidecar.errors import DeadlinePassed
from sidecar.holding import Holding


def test_all_is_back_when_close_returns() -> None:
    """In the usual case closing gives everything back, the last taken first."""
    order: list[int] = []
    held = Holding()
    for number in range(3):
        held.callback(order.append, number)
    held.close()
    assert order == [2, 1, 0]
    held.close()
    assert order == [2, 1, 0]


def test_what_is_stuck_is_given_back_when_it_comes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who closes goes on before what is stuck; what lies below it stays held until it is over."""
    monkeypatch.setattr(holding, "_PATIENCE", 0.01)
    over, order = Event(), list[str]()
    held = Holding()
    held.callback(order.append, "permit")
    held.callback(over.wait)
    held.close()
    assert order == []
    over.set()
    gevent.sleep(0.01)
    assert order == ["permit"]


def test_a_deadline_interrupts_who_closes_and_not_the_closing() -> None:
    """A deadline that passes meanwhile is raised at once, and nothing is lost by it."""
    over, order = Event(), list[str]()
    held = Holding()
    held.callback(order.append, "permit")
    held.callback(over.wait)
    with pytest.raises(DeadlinePassed), gevent.Timeout(0.01, DeadlinePassed("late")):
        held.close()
    over.set()
    gevent.sleep(0.01)
    assert order == ["permit"]


def test_the_error_is_told_and_not_swallowed() -> None:
    """What is held learns of the error that ends it, and the error goes on."""
    told: list[object] = []
    held = Holding()

    def swallow(_: object, error: BaseException | None, __: object) -> bool:
        told.append(error)
        return True

    held.push(swallow)
    with pytest.raises(ZeroDivisionError), held:
        _ = 1 // 0
    assert isinstance(told[0], ZeroDivisionError)
