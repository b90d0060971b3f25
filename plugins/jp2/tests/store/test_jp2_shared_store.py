"""The store of a fleet when it is ill: what it costs, and how it comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import gevent
import numpy as np
import pytest
from sidecar_jp2.store import kept_entries, shared_store
from sidecar_jp2.store.back_end import ReadOnly, StoreError
from sidecar_jp2.store.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker
from sidecar_jp2.store.kept_entries import KeptEntries, key_of
from sidecar_jp2.store.packing import KINDS, MOST_BYTES, Arrays, Extent, Packing
from sidecar_jp2.store.shared_store import SharedStore

from sidecar.plugin import run_inline

EMPTY: Arrays = {name: np.zeros(0, kind) for name, kind in KINDS.items()}


def _known(size: int, *, complete: bool = False) -> tuple[Arrays, Extent]:
    return EMPTY, Extent(size, complete)


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Shelf:
    """A back end that holds entries, and fails as it is told."""

    name: str = "shelf"
    place: str = "shelf://here"
    held: dict[str, bytes] = field(default_factory=dict)
    failure: Exception | None = None
    refusal: Exception | None = None
    silence: float = 0.0
    calls: int = 0

    def get(self, key: str, most: int) -> bytes | None:
        self._answer(self.failure)
        found = self.held.get(key)
        return None if found is None else found[:most]

    def put(self, key: str, data: bytes) -> None:
        self._answer(self.failure or self.refusal)
        self.held[key] = data

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, failure: Exception | None) -> None:
        self.calls += 1
        gevent.sleep(self.silence)
        if failure:
            raise failure


def test_the_pauses_of_a_breaker() -> None:
    """After a failure nothing is tried for a while, then one call; pauses grow up to a bound and end with an answer."""
    clock = Clock()
    breaker = Breaker(1.0, clock)
    assert breaker.allows()
    for pause in (*(FIRST_PAUSE * 2**number for number in range(5)), LONGEST_PAUSE, LONGEST_PAUSE):
        breaker.failed()
        breaker.failed()  # of a call that was under way, too
        clock.now += min(pause, LONGEST_PAUSE) - 0.1
        assert not breaker.allows()
        clock.now += 0.2
        assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeeded()
    assert not breaker.broken
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_a_store_that_hangs_costs_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait at the same time stop waiting, and later ones do not ask at all."""
    monkeypatch.setattr(shared_store, "READ_SECONDS", 0.05)
    shelf = Shelf(silence=60)
    store = SharedStore(shelf)
    waiting = [gevent.spawn(store.get, "a", 10) for _ in range(40)]
    gevent.joinall(waiting, timeout=30)
    assert [each.value for each in waiting] == [None] * 40
    asked = shelf.calls
    assert store.get("a", 10) is None
    assert shelf.calls == asked


def test_a_store_that_cannot_be_written_is_read() -> None:
    """A full or read-only store takes nothing, is not asked to for a while, and what it holds is read."""
    for refusal in (StoreError("out of memory"), ReadOnly("no permission")):
        shelf = Shelf(refusal=refusal, held={"a": b"data"})
        store = SharedStore(shelf)
        assert not store.put("b", b"data")
        asked = shelf.calls
        assert not store.put("c", b"data")
        assert shelf.calls == asked
        assert store.get("a", 2) == b"da"


def test_what_was_learned_reaches_other_machines() -> None:
    """It is written once, a while after it grew; what knows less replaces nothing, and a foreign entry is replaced."""
    shelf = Shelf()
    here, there = (KeptEntries(run_inline, Packing(), shared=SharedStore(shelf)) for _ in range(2))
    for size in range(5):
        here.save("etag", partial(_known, size), far=True)
    assert not shelf.held
    assert here.flush()
    assert len(shelf.held) == 1
    assert shelf.calls == 2
    assert there.load("etag", far=True) is not None
    assert there.load("etag", far=False) is None
    before = dict(shelf.held)
    assert there.save_now("etag", partial(_known, 3), far=True)
    assert shelf.held == before
    assert not there.is_complete("etag", far=True)
    assert there.save_now("etag", partial(_known, 4, complete=True), far=True)
    assert there.is_complete("etag", far=True)
    key = key_of("etag")
    shelf.held[key] = shelf.held[key][:-1] + b"?"
    assert here.load("etag", far=True) is None
    assert here.save_now("etag", partial(_known, 1), far=True)
    assert here.load("etag", far=True) is not None


def test_an_entry_of_any_size() -> None:
    """An entry that somebody made too large is not read whole; nothing is written that is too large to be read."""
    shelf = Shelf(held={key_of("etag"): bytes(2 * MOST_BYTES)})
    kept = KeptEntries(run_inline, Packing(), shared=SharedStore(shelf))
    assert kept.load("etag", far=True) is None
    noise = {**EMPTY, "head": np.random.default_rng(0).integers(0, 256, MOST_BYTES, np.uint8)}
    assert kept.save_now("other", lambda: (noise, Extent(1, complete=True)), far=True)
    assert key_of("other") not in shelf.held


def test_what_is_being_written_when_a_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written again: the write that is under way is given up."""
    monkeypatch.setattr(kept_entries, "DELAY_SECONDS", 0)
    shelf = Shelf(silence=60)
    kept = KeptEntries(run_inline, Packing(), shared=SharedStore(shelf))
    kept.save("etag", partial(_known, 1), far=True)
    while not shelf.calls:
        gevent.sleep(0)
    shelf.silence = 0
    assert kept.flush()
    assert [*shelf.held] == [key_of("etag")]


def test_when_a_worker_ends() -> None:
    """What waits to be written is written before the connections are closed."""
    shelf = Shelf()
    kept = KeptEntries(run_inline, Packing(), shared=SharedStore(shelf))
    kept.save("etag", partial(_known, 1), far=True)
    kept.close()
    assert [*shelf.held] == [key_of("etag")]
