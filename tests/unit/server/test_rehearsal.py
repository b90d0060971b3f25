"""What the master learns of a start rehearsed in another process, however that ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

import sidecar
from sidecar.server import rehearsal
from sidecar.server.rehearsal import Outcome, Rehearsal


def outcome(monkeypatch: pytest.MonkeyPatch, script: Path, text: str) -> Outcome:
    """Run a script in the rehearsal's place, and wait for what comes of it."""
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    running = Rehearsal()
    while (found := running.outcome()) is None:
        time.sleep(0.01)
    return found


def test_how_it_may_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem is passed on; a crash, a hang and another version are problems too; no descriptor stays open."""
    script, settings = tmp_path / "script", '{"bind": "x:1", "workers": 3, "log_level": "info", "quarantine": 5.0}'
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # as short as it can be
    monkeypatch.setattr(rehearsal, "_PATIENCE", 0.2)

    def written(version: str, problem: str = "") -> str:
        return f"""echo '{{"problem": "{problem}", "settings": {settings}, "version": "{version}"}}'"""

    right = outcome(monkeypatch, script, written(sidecar.__version__))
    assert (right.problem, right.settings and right.settings.workers) == ("", 3)
    ways = {
        "no library": written(sidecar.__version__, "no library"),
        "version 9.9 is installed": written("9.9"),
        "may have crashed": f"kill -{signal.SIGSEGV.value} $$",
        "could not be checked within": "exec sleep 60",
    }
    for problem, text in ways.items():
        found = outcome(monkeypatch, script, text)
        assert problem in found.problem
        assert found.settings is None
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # as above
