"""Readiness: the first reason why requests should go to another worker, and whether sources can be read."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import Event

from sidecar.errors import SourceError
from sidecar.http.readiness import Readiness
from sidecar.http.source_checks import SourceChecks
from sidecar.limits.admission import Admission
from sidecar.plugin import Blob


class Storage:
    """A source that says whether it can be read."""

    def __init__(self, name: str, check: Callable[[], None] = lambda: None, *, is_remote: bool = False) -> None:
        self.name, self.is_remote, self._check = name, is_remote, check
        self.asked = 0

    def find(self, identifier: str) -> Blob | None:
        """Find nothing."""

    def check(self) -> None:
        """Count, and do as told."""
        self.asked += 1
        self._check()


def fail() -> None:
    """Fail as a source does."""
    raise SourceError("/images: Stale file handle")


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


def test_what_it_depends_on() -> None:
    """The state shows the memory and each source; one that cannot be read makes the worker unready."""
    admission = Admission(10, queue=1, timeout=60)
    readiness = Readiness(admission, sources=[Storage("good"), Storage("bad", fail)])
    with admission.take(4, large=False):
        assert readiness.state() == (
            False,
            {
                "status": "unreadable",
                "sources": {"good": "readable", "bad": "source"},
                "memory": {"budget": 10, "promised": 4, "waiting": 0},
            },
        )
    assert Readiness(admission, sources=[Storage("good")]).state()[0]
    assert Readiness(admission, sources=[]).problem == "no-source"


def test_far_sources_are_asked_if_somebody_wants_to_know() -> None:
    """What lies over a network is not asked by every balancer."""
    far = Storage("far", fail, is_remote=True)
    readiness = Readiness(Admission(10, queue=1, timeout=60), sources=[far])
    assert readiness.state()[0]
    assert far.asked == 0
    ready, state = readiness.state(remote=True)
    assert (ready, state["sources"]) == (False, {"far": "source"})


def test_many_ask_and_the_storage_is_asked_once() -> None:
    """Checks at the same time share one answer, which serves for a moment; one that does not come is a time-out."""
    go_on = Event()
    slow = Storage("slow", go_on.wait)  # type: ignore[arg-type]  # what it returns is nobody's
    checks = SourceChecks([slow], patience=0.02)
    asking = [gevent.spawn(checks.found, remote=False) for _ in range(3)]
    assert [each.get(timeout=10) for each in asking] == [{"slow": "source-timeout"}] * 3
    go_on.set()
    gevent.sleep(0.01)
    assert checks.found(remote=False) == {"slow": ""}
    assert slow.asked == 1


def test_a_check_that_fails_unforeseen() -> None:
    """An exception that a source should not raise is a reason, too."""

    def divide() -> None:
        raise ZeroDivisionError

    assert SourceChecks([Storage("odd", divide)]).found(remote=False) == {"odd": "plugin"}


def _wait(admission: Admission) -> None:
    with admission.take(10, large=False):
        pass
