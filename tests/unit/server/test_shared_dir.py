"""The folder that master and workers share: whose it is, and when it is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HOLDER = """
import os, sys, time
from sidecar.server import shared_dir
folder = shared_dir.create()
child = os.fork()
if child:
    print(f"{folder} {child}", flush=True)
time.sleep(60)
"""


def hold(shared: Path) -> tuple[subprocess.Popen[str], Path, int]:
    """Start a process with a folder and a child of its own; return also the folder, and the child's number."""
    environment = {**os.environ, "TMPDIR": str(shared)}
    process = subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        folder, child = said.readline().split()
    return process, Path(folder), int(child)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process, so that it removes nothing."""
    process.kill()
    process.wait()


@pytest.mark.parametrize("survivor", [False, True])
def test_the_folder_of_a_killed_master_is_removed_after_its_last_worker(tmp_path: Path, *, survivor: bool) -> None:
    """The folder stays as long as a process that shares it runs; then the next master to start removes it."""
    first, folder, child = hold(tmp_path)
    kill(first)
    if not survivor:
        os.kill(child, signal.SIGKILL)
    second, other, grandchild = hold(tmp_path)
    assert folder.exists() == survivor
    assert other.exists()
    kill(second)
    for one in {child, grandchild} if survivor else {grandchild}:
        os.kill(one, signal.SIGKILL)


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Folders without our lock, links to other folders and what others own are left as they are."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / "sidecar-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sidecar-other").mkdir()
    (tmp_path / "sidecar-strange").mkdir()
    (tmp_path / "sidecar-strange" / "lock").touch()
    if os.geteuid() == 0:
        os.chown(tmp_path / "sidecar-strange", 12345, 12345)
    process, _, child = hold(tmp_path)
    assert (tmp_path / "elsewhere" / "lock").exists()
    assert (tmp_path / "sidecar-other").exists()
    assert (tmp_path / "sidecar-strange").exists() == (os.geteuid() == 0)
    kill(process)
    os.kill(child, signal.SIGKILL)
