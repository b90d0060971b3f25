"""Replacement: one more worker for each that cannot go on, never without end, and counted down in the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sidecar.server import replacement


@pytest.fixture
def asked() -> Iterator[list[int]]:
    """Be the master: yield the signals that arrive."""
    arrived: list[int] = []
    before = signal.signal(signal.SIGTTIN, lambda number, _: arrived.append(number))
    replacement.listen()
    yield arrived
    signal.signal(signal.SIGTTIN, before)
    for end in replacement._pipe:
        os.close(end)
    replacement._pipe.clear()


def test_a_worker_asks_and_is_counted_down(asked: list[int], tmp_path: Path) -> None:
    """The master is signalled, and takes the worker off again when the one replaced has ended, once."""
    assert replacement.ask(tmp_path, 2)
    ends = time.monotonic() + 10
    while not asked and time.monotonic() < ends:
        time.sleep(0.01)
    assert asked == [signal.SIGTTIN]
    server = SimpleNamespace(num_workers=3, cfg=SimpleNamespace(workers=2))
    for _ in range(2):
        replacement.settle(tmp_path, os.getpid(), server)
        assert server.num_workers == 2


@pytest.mark.usefixtures("asked")
def test_a_reload_meanwhile_counts(tmp_path: Path) -> None:
    """A reload sets the number anew; nothing is taken off it."""
    assert replacement.ask(tmp_path, 2)
    server = SimpleNamespace(num_workers=2, cfg=SimpleNamespace(workers=2))
    replacement.settle(tmp_path, os.getpid(), server)
    assert server.num_workers == 2


def test_not_without_end(asked: list[int], tmp_path: Path) -> None:
    """While as many workers as there are to be cannot end, no more are asked for."""
    (tmp_path / "1.replaced").touch()
    assert not replacement.ask(tmp_path, 1)
    assert asked == []


def test_a_worker_without_a_master_ends_all_the_same(tmp_path: Path) -> None:
    """Without a shared folder, or without a master that listens, nothing is asked."""
    assert replacement.ask(None, 1)
    assert replacement.ask(tmp_path, 1)
    assert [*tmp_path.iterdir()] == []
