"""Readiness: the first reason why requests should go to another worker."""

from __future__ import annotations

import gevent

from sidecar.http.readiness import Readiness
from sidecar.limits.admission import Admission


def test_each_reason() -> None:
    """A worker about to end, a stuck thread, calls that do not return and a full queue are named, in this order."""
    problems = {"lost": 0, "stalled": 0}
    admission = Admission(10, queue=1, timeout=60, stalled=lambda _large: bool(problems["stalled"]))
    readiness = Readiness(admission, lambda: problems["lost"])
    assert readiness.problem == ""
    with admission.take(10, large=False):
        waiting = gevent.spawn(_wait, admission)
        gevent.sleep(0)
        assert readiness.problem == "overloaded"
        problems["stalled"] = 1
        assert readiness.problem == "stalled"
        problems["lost"] = 1
        assert readiness.problem == "stuck"
        readiness.draining = True
        assert readiness.problem == "draining"
        problems["stalled"] = 0
    waiting.get(timeout=10)


def _wait(admission: Admission) -> None:
    with admission.take(10, large=False):
        pass
