"""Which images are quarantined after the crash of a worker, and which are not."""

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

from sidecar.errors import Quarantined
from sidecar.limits import memory_limit
from sidecar.limits.quarantine import Quarantine, digest
from sidecar.server import crash_journal
from sidecar.server.crash_journal import CrashJournal, CrashReport, examine_crash

CRASHING = """
import os, sys
from pathlib import Path
from sidecar.server.crash_journal import CrashJournal
journal = CrashJournal(Path(sys.argv[1]), os.getpid())
journal.watch_faults()
busy = [journal.recorded(image) for image in sys.argv[3:]]
for one in busy:
    one.__enter__()
with journal.recorded("done before"):
    pass
os.kill(os.getpid(), int(sys.argv[2]))
"""


def crash(folder: Path, number: signal.Signals, *images: str) -> CrashReport:
    """Return the report on a process that is ended by a signal while it works on images."""
    process = subprocess.Popen([sys.executable, "-c", CRASHING, str(folder), str(int(number)), *images])
    assert process.wait(30) == -number
    return examine_crash(folder, process.pid, Quarantine(folder, 60))


def quarantined(folder: Path, *images: str) -> list[str]:
    """Return which of some images are in quarantine."""
    known = Quarantine(folder, 60)

    def is_one(image: str) -> bool:
        try:
            known.check(image)
        except Quarantined:
            return True
        return False

    return [image for image in images if is_one(image)]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT])
def test_alone_at_a_crash(tmp_path: Path, number: signal.Signals) -> None:
    """An image that was the only one in progress at a crash is quarantined; one that was done before is not."""
    report = crash(tmp_path, number, "bad")
    assert (report.in_progress, report.quarantined) == (1, 1)
    assert "Fatal Python error" in report.fault
    assert quarantined(tmp_path, "bad", "done before", "other") == ["bad"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_beside_others_it_takes_two(tmp_path: Path) -> None:
    """Of several images in progress none is quarantined at the first crash, and at the second the one of both."""
    assert crash(tmp_path, signal.SIGSEGV, "bad", "good", "bad").quarantined == 0
    assert quarantined(tmp_path, "bad", "good") == []
    assert crash(tmp_path, signal.SIGSEGV, "bad", "fine").quarantined == 1
    assert quarantined(tmp_path, "bad", "good", "fine") == ["bad"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_from_outside(tmp_path: Path, number: signal.Signals) -> None:
    """A kill quarantines nothing, nor does a second one."""
    for _ in range(2):
        assert crash(tmp_path, number, "good") == CrashReport("", 0, 0)
    assert quarantined(tmp_path, "good") == []


def test_killed_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill counts as a crash if the kernel has counted a kill for memory since the worker began."""
    kills = iter([7, 8])
    monkeypatch.setattr(memory_limit, "oom_kills", lambda: next(kills))
    journal = CrashJournal(tmp_path, 1)
    with journal.recorded("huge"):
        assert examine_crash(tmp_path, 1, Quarantine(tmp_path, 60)) == CrashReport("out of memory", 1, 1)
    assert quarantined(tmp_path, "huge") == ["huge"]
    journal.close()


def test_orderly_end(tmp_path: Path) -> None:
    """A worker that closed its journal quarantines nothing, nor does one that never had any."""
    journal = CrashJournal(tmp_path, 1)
    with journal.recorded("good"):
        journal.close()
    assert [examine_crash(tmp_path, pid, Quarantine(tmp_path, 60)) for pid in (1, 2)] == [CrashReport("", 0, 0)] * 2


def test_quarantine_ends(tmp_path: Path) -> None:
    """After its time an image leaves the quarantine and the next examination removes its file; 0 seconds: never in."""
    known = Quarantine(tmp_path, 60)
    known.add(digest("bad"))
    assert quarantined(tmp_path, "bad") == ["bad"]
    path = tmp_path / "quarantine" / digest("bad").hex()
    os.utime(path, (time.time() - 61,) * 2)
    assert quarantined(tmp_path, "bad") == []
    examine_crash(tmp_path, 1, known)
    assert not path.exists()
    for nothing in (Quarantine(tmp_path, 0), Quarantine(None, 60)):
        nothing.add(digest("bad"))
        nothing.check("bad")
        assert not nothing.suspect(digest("bad"))
        nothing.expire()


@given(st.lists(st.sampled_from(["", "a", "b", "\udcff", "ä" * 300]), max_size=12))
def test_the_journal_is_empty_in_the_end(tmp_path_factory: pytest.TempPathFactory, images: list[str]) -> None:
    """However calls nest, each image is in the journal exactly while one of its calls runs."""
    folder = tmp_path_factory.mktemp("journal")
    journal = CrashJournal(folder, 1)

    def written() -> set[bytes]:
        page = (folder / "1.journal").read_bytes()[16:]
        return {page[at : at + 16] for at in range(0, len(page), 16)} - {bytes(16)}

    with ExitStack() as stack:
        for number, image in enumerate(images):
            stack.enter_context(journal.recorded(image))
            assert written() == {digest(one) for one in images[: number + 1] if one}
    assert written() == set()
    journal.close()


def test_more_images_at_once_than_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are made, unrecorded, while the journal is full."""
    monkeypatch.setattr(crash_journal, "_SLOTS", 1)
    journal = CrashJournal(tmp_path, 1)
    with journal.recorded("a"), journal.recorded("b"):
        pass
    with journal.recorded("c"):
        assert digest("c") in (tmp_path / "1.journal").read_bytes()
    journal.close()
