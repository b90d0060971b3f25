"""Casualties: whose images are handed over after a worker's death, and whose are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import casualties, memory
from sidecar.casualties import Casualties, Notebook, Verdict, digest, inquest
from sidecar.errors import Casualty

DYING = """
import os, sys
from pathlib import Path
from sidecar.casualties import Notebook
notebook = Notebook(Path(sys.argv[1]), os.getpid())
notebook.watch_faults()
busy = [notebook.noted(image) for image in sys.argv[3:]]
for one in busy:
    one.__enter__()
with notebook.noted("done before"):
    pass
os.kill(os.getpid(), int(sys.argv[2]))
"""


def die(folder: Path, number: signal.Signals, *images: str) -> Verdict:
    """A process dies by a signal while it works on images; what the inquest finds."""
    process = subprocess.Popen([sys.executable, "-c", DYING, str(folder), str(int(number)), *images])
    assert process.wait(30) == -number
    return inquest(folder, process.pid, Casualties(folder, 60))


def handed_over(folder: Path, *images: str) -> list[str]:
    """Which of some images any worker hands over."""
    known = Casualties(folder, 60)

    def is_one(image: str) -> bool:
        try:
            known.check(image)
        except Casualty:
            return True
        return False

    return [image for image in images if is_one(image)]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT])
def test_alone_at_a_crash(tmp_path: Path, number: signal.Signals) -> None:
    """An image that native code worked on alone when it crashed is handed over; none that was done before."""
    verdict = die(tmp_path, number, "bad")
    assert (verdict.busy, verdict.guilty) == (1, 1)
    assert "Fatal Python error" in verdict.fault
    assert handed_over(tmp_path, "bad", "done before", "other") == ["bad"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_beside_others_it_takes_two(tmp_path: Path) -> None:
    """Of several at one crash none is handed over; at the second, the one that was there both times."""
    assert die(tmp_path, signal.SIGSEGV, "bad", "good", "bad").guilty == 0
    assert handed_over(tmp_path, "bad", "good") == []
    assert die(tmp_path, signal.SIGSEGV, "bad", "fine").guilty == 1
    assert handed_over(tmp_path, "bad", "good", "fine") == ["bad"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_from_outside(tmp_path: Path, number: signal.Signals) -> None:
    """Nobody is to blame for a kill, nor for a second one."""
    for _ in range(2):
        assert die(tmp_path, number, "good") == Verdict("", 0, 0)
    assert handed_over(tmp_path, "good") == []


def test_killed_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill counts where the kernel's count of kills for memory has moved since the worker began."""
    kills = iter([7, 8])
    monkeypatch.setattr(memory, "oom_kills", lambda: next(kills))
    notebook = Notebook(tmp_path, 1)
    with notebook.noted("huge"):
        assert inquest(tmp_path, 1, Casualties(tmp_path, 60)) == Verdict("out of memory", 1, 1)
    assert handed_over(tmp_path, "huge") == ["huge"]
    notebook.close()


def test_an_end_in_order(tmp_path: Path) -> None:
    """A worker that closed its notebook leaves nothing to ask about, nor does one that never had any."""
    notebook = Notebook(tmp_path, 1)
    with notebook.noted("good"):
        notebook.close()
    assert [inquest(tmp_path, pid, Casualties(tmp_path, 60)) for pid in (1, 2)] == [Verdict("", 0, 0)] * 2


def test_it_is_forgotten(tmp_path: Path) -> None:
    """After its time an image is read again, and its file goes at the next inquest; 0 seconds is never."""
    known = Casualties(tmp_path, 60)
    known.add(digest("bad"))
    assert handed_over(tmp_path, "bad") == ["bad"]
    path = tmp_path / "casualties" / digest("bad").hex()
    os.utime(path, (time.time() - 61,) * 2)
    assert handed_over(tmp_path, "bad") == []
    inquest(tmp_path, 1, known)
    assert not path.exists()
    for nothing in (Casualties(tmp_path, 0), Casualties(None, 60)):
        nothing.add(digest("bad"))
        nothing.check("bad")
        assert not nothing.suspect(digest("bad"))
        nothing.forget()


@given(st.lists(st.sampled_from(["", "a", "b", "\udcff", "ä" * 300]), max_size=12))
def test_the_notebook_is_empty_in_the_end(tmp_path_factory: pytest.TempPathFactory, images: list[str]) -> None:
    """However calls nest, each image is in the book exactly while one of its calls runs."""
    folder = tmp_path_factory.mktemp("book")
    notebook = Notebook(folder, 1)

    def written() -> set[bytes]:
        page = (folder / "1.notebook").read_bytes()[16:]
        return {page[at : at + 16] for at in range(0, len(page), 16)} - {bytes(16)}

    with ExitStack() as stack:
        for number, image in enumerate(images):
            stack.enter_context(notebook.noted(image))
            assert written() == {digest(one) for one in images[: number + 1] if one}
    assert written() == set()
    notebook.close()


def test_more_at_once_than_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work goes on where the book is full."""
    monkeypatch.setattr(casualties, "_SLOTS", 1)
    notebook = Notebook(tmp_path, 1)
    with notebook.noted("a"), notebook.noted("b"):
        pass
    with notebook.noted("c"):
        assert digest("c") in (tmp_path / "1.notebook").read_bytes()
    notebook.close()
