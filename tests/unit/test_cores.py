"""What a worker's large work may use of the cores, by what other workers, real processes, have under way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Semaphore

import gevent
import pytest

from sidecar.cores import Cores
from sidecar.native import NativePool

WORKER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from sidecar.cores import Cores
cores = Cores(4, Path(sys.argv[1]))
with cores.used() if sys.argv[2] == "busy" else nullcontext():
    print("there", flush=True)
    sys.stdin.read()
print("idle", flush=True)
"""


@contextmanager
def worker(folder: Path, state: str) -> Iterator[subprocess.Popen[str]]:
    """Another worker; killed in the end, if it has not ended before."""
    command = [sys.executable, "-c", WORKER, str(folder), state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "there\n"
        try:
            yield process
        finally:
            process.kill()


def test_busy_workers_share_the_cores(tmp_path: Path) -> None:
    """Alone it has all four; beside one that is busy two; beside two the third part, rounded up."""
    cores = Cores(4, tmp_path)
    with cores.used():
        assert cores.share() == 4
        with worker(tmp_path, "busy") as other, worker(tmp_path, "idle"):
            assert cores.share() == 2
            with worker(tmp_path, "busy"):
                assert cores.share() == 2
                with worker(tmp_path, "busy"):
                    assert cores.share() == 1
            other.communicate()


def test_work_that_ends_leaves_the_cores_to_others(tmp_path: Path) -> None:
    """Two works of a worker are one claim, which ends with the last of them."""
    cores = Cores(4, tmp_path)
    with worker(tmp_path, "busy") as other:
        with cores.used(), cores.used():
            assert cores.share() == 2
        assert cores.share() == 4
        with cores.used():
            assert other.communicate()[0] == "idle\n"
            assert cores.share() == 4


def test_the_dead_leave_no_claim(tmp_path: Path) -> None:
    """The successor of a worker that was killed in the midst of work takes its place, and says that it is idle."""
    cores = Cores(2, tmp_path)
    with cores.used():
        with worker(tmp_path, "busy"):
            assert cores.share() == 1
        with worker(tmp_path, "idle"):
            assert cores.share() == 2


def test_who_has_more_than_another_is_crowded(tmp_path: Path) -> None:
    """One work more than an idle worker is none too many; two are, and so they are beside several workers."""
    cores, found = Cores(2, tmp_path), []
    with cores.used(), cores.used():
        found.append(cores.crowded)
        with worker(tmp_path, "busy"):
            found.append(cores.crowded)
            with worker(tmp_path, "idle"):
                found.append(cores.crowded)
    found.append(cores.crowded)
    assert found == [False, False, True, False]


@pytest.mark.parametrize("share, at_once", [(1, 1), (2, 2), (5, 3)])
def test_a_pool_keeps_to_its_share(share: int, at_once: int) -> None:
    """Of three threads no more work than the share of the moment; the rest is done after."""
    begun, let = Semaphore(0), Event()

    def work() -> None:
        begun.release()
        let.wait(60)

    with closing(NativePool(3, share=lambda: share)) as pool:
        asked = [gevent.spawn(pool, work) for _ in range(4)]
        gevent.sleep(0)
        assert [begun.acquire(timeout=60) for _ in range(at_once)] == [True] * at_once
        gevent.sleep(0.01)
        assert pool.busy == at_once
        let.set()
        gevent.joinall(asked, raise_error=True)
