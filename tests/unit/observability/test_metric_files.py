"""Metrics on a disk that is full: no process ends by that, and what is counted can still be read."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.observability import metric_files

AllocatedDict: Any = metric_files.AllocatedDict  # its base has no annotations
COUNTING = """
import os, sys
from pathlib import Path

def fill():
    with open(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"], "rest"), "wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError:
            pass

if sys.argv[1] == "before":
    fill()
from sidecar.observability import metric_files
from sidecar.observability.metrics import LATE, REQUESTS, WORKERS
if sys.argv[1] == "after":
    fill()
for number in range(1000):  # more than fit into what was allocated at the start
    REQUESTS.labels("image", str(number)).inc()
    LATE.observe(number)
WORKERS.set(1)
metric_files.report()
metric_files.report()
print(REQUESTS.labels("image", "999")._value.get())
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a disk of half a megabyte; skips if none can be mounted."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or not mount or not umount:
        pytest.skip("only root may mount a small disk")
    command = [mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk may not be mounted here")
    yield tmp_path
    subprocess.run([umount, "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize("full", ["before", "after"])
def test_a_full_disk_ends_no_worker(small_disk: Path, full: str) -> None:
    """Metrics are counted on a disk that was full at the start, or became so later; the log has one line on it."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(small_disk)}
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, full], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == "1.0"
    assert done.stdout.count("metrics are not shared") == 1


def test_a_file_that_cannot_grow_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that find no room any more go on in memory with all others; what was written stays in the file."""
    path = str(tmp_path / "counter_1.db")
    values = AllocatedDict(path)
    names = [f"{number} {'x' * 200}" for number in range(1000)]
    for number, name in enumerate(names[:100]):
        values.write_value(name, float(number), 0.0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for number, name in enumerate(names):
        values.write_value(name, float(number), 0.0)
    assert [values.read_value(name)[0] for name in names] == [float(number) for number in range(1000)]
    kept = {name: value for name, value, *_ in AllocatedDict.read_all_values_from_file(path)}
    assert kept == {name: float(number) for number, name in enumerate(names[: len(kept)])}
    assert len(kept) >= 100
    values.close()


def test_every_byte_of_a_file_is_on_the_disk(tmp_path: Path) -> None:
    """A file has as many blocks as its size says, at first and when it has grown."""
    path = tmp_path / "counter_1.db"
    values = AllocatedDict(str(path))
    sizes = []
    for number in range(1000):
        values.write_value(f"{number} {'x' * 200}", 1.0, 0.0)
        status = path.stat()
        sizes.append(status.st_size)
        assert status.st_blocks * 512 >= status.st_size
    assert sizes[-1] > sizes[0]
    values.close()
