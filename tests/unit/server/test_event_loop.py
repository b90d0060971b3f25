"""The event loop's lateness: every sample is counted, and the longest of the last minute known."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sidecar.server.event_loop import Lateness, tune_interpreter


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 5)), max_size=60))
def test_the_longest_of_the_last_minute(samples: list[tuple[float, float]]) -> None:
    """At any time it is the largest of the samples not older than a minute."""
    measured, seen, now = Lateness(), list[tuple[float, float]](), 1000.0
    assert measured.longest == 0
    for pause, late in samples:
        now += pause
        with capture_logs():
            measured.sample(now, late)
        seen.append((now, late))
        assert measured.longest == max(one for when, one in seen if when >= now - 60)


def test_a_stall_is_measured_and_logged() -> None:
    """A call that holds up the loop is measured, less one step at most, and logged if it is long."""
    measured = Lateness()
    with capture_logs() as logs:
        running = gevent.spawn(measured.run)
        gevent.sleep(0.05)
        time.sleep(0.3)
        gevent.sleep(0.05)
        running.kill()
    assert measured.longest >= 0.28
    assert {line["event"] for line in logs} == {"the event loop stood still"}
    assert max(line["milliseconds"] for line in logs) >= 280


@pytest.fixture
def interpreter() -> Iterator[None]:
    """Settings of the interpreter, put back."""
    switch, thresholds = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(switch)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("interpreter")
def test_the_interpreter_is_tuned() -> None:
    """Loaded objects are frozen for the collector, and threads release the GIL within a millisecond."""
    tune_interpreter()
    assert gc.get_freeze_count() > 1000
    assert sys.getswitchinterval() < 0.001
