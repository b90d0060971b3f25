"""What the master knows of workers, and when it starts one after another could not start."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from sidecar.server import workers
from sidecar.server.reloads import Reloads
from sidecar.server.workers import Pace, state, staying


def test_what_a_child_sets_the_parent_sees() -> None:
    """State and counts made before a fork are shared by both sides."""
    worker, reloads = SimpleNamespace(age=1), Reloads()
    assert not state(worker).serves
    child = os.fork()
    if not child:
        state(worker).now_serves()
        reloads.count(failed=True)
        os._exit(0)
    os.waitpid(child, 0)
    assert state(worker).serves
    assert (reloads.failed, reloads.last_failed) == (1, True)
    reloads.count(failed=False)
    assert (reloads.failed, reloads.last_failed) == (1, False)


def test_those_that_stay() -> None:
    """Workers that were told to stop are left out, the others are in the order of their age."""
    every = [SimpleNamespace(age=age) for age in (3, 1, 2)]
    state(every[1]).dismissed = True
    assert [worker.age for worker in staying(every)] == [2, 3]


def test_the_pace_of_starts_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double up to a limit; success and a hint that something has changed end them."""
    now = 100.0
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: now))
    pace, pauses = Pace(), []
    for _ in range(6):
        pace.failed()
        began = now
        while not pace.due:
            now += 0.5
        pauses.append(now - began)
    assert pauses == [1, 2, 4, 8, 16, 16]
    pace.failed()
    pace.hurry()
    assert (pace.due, pace.failing, pace.failures) == (True, True, 7)
    pace.succeeded()
    assert not pace.failing
