"""Hostile structures of JPEG 2000 files: nothing but SidecarError, in bounded time and memory."""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.plugin import SidecarError
from tests.resilience.corruption import mutated, pieces
from tests.resilience.fuzz import CORPUS, corpus, exercise

SECONDS = 20
"""Of this process's own time, for one small file: two hundred times what the slowest takes."""
MOST_MEMORY = 48 * 2**20
MOST_ROUNDS = 2000

SEEDS = corpus()


@contextmanager
def bounded() -> Iterator[None]:
    """Raise if a call takes too long, other processes aside; fail if it has taken too much memory."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def endure(content: bytes) -> None:
    """Read a file, and look at what that took."""
    with bounded(), suppress(SidecarError):
        assert len(exercise(content).asked) < MOST_ROUNDS


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.jp2")))
def test_kept_files(name: str) -> None:
    """Each file that once reached something new is read or refused as it should be."""
    endure((CORPUS / name).read_bytes())


def test_the_seeds_are_sound() -> None:
    """Those that the others came from are read without any error, and are parted without a byte lost."""
    seeds = sorted(CORPUS.glob("seed-*"))
    assert len(seeds) > 5
    for path in seeds:
        content = path.read_bytes()
        exercise(content)
        assert b"".join(pieces(content)) == content
        assert len(pieces(content)) > 5


@settings(max_examples=1000)
@given(st.data())
def test_files_changed_along_their_structure(data: st.DataObject) -> None:
    """Boxes, segments and tile-parts changed, dropped, repeated, exchanged and mixed surprise nobody."""
    endure(mutated(lambda below: data.draw(st.integers(0, below - 1)), SEEDS))
