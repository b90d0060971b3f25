"""How many threads a worker's large responses may use, beside other workers that are real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Semaphore

import gevent
import pytest

from sidecar.limits.cpu_share import CpuShare
from sidecar.limits.threads import NativePool

WORKER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from sidecar.limits.cpu_share import CpuShare
cpu_share = CpuShare(4, Path(sys.argv[1]))
with cpu_share.used() if sys.argv[2] == "busy" else nullcontext():
    print("there", flush=True)
    sys.stdin.read()
print("idle", flush=True)
"""


@contextmanager
def worker(folder: Path, state: str) -> Iterator[subprocess.Popen[str]]:
    """Start another worker; it is killed in the end, if it has not ended before."""
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
    cpu_share = CpuShare(4, tmp_path)
    with cpu_share.used():
        assert cpu_share.share() == 4
        with worker(tmp_path, "busy") as other, worker(tmp_path, "idle"):
            assert cpu_share.share() == 2
            with worker(tmp_path, "busy"):
                assert cpu_share.share() == 2
                with worker(tmp_path, "busy"):
                    assert cpu_share.share() == 1
            other.communicate()


def test_a_response_that_ends_leaves_the_cores_to_others(tmp_path: Path) -> None:
    """Two large responses of a worker are one claim, which ends with the last of them."""
    cpu_share = CpuShare(4, tmp_path)
    with worker(tmp_path, "busy") as other:
        with cpu_share.used(), cpu_share.used():
            assert cpu_share.share() == 2
        assert cpu_share.share() == 4
        with cpu_share.used():
            assert other.communicate()[0] == "idle\n"
            assert cpu_share.share() == 4


def test_a_killed_worker_leaves_no_claim(tmp_path: Path) -> None:
    """The successor of a worker that was killed while it was busy takes its place, and is idle."""
    cpu_share = CpuShare(2, tmp_path)
    with cpu_share.used():
        with worker(tmp_path, "busy"):
            assert cpu_share.share() == 1
        with worker(tmp_path, "idle"):
            assert cpu_share.share() == 2


def test_a_worker_with_more_than_another_is_crowded(tmp_path: Path) -> None:
    """A worker with one response more than an idle one is not crowded; with two more it is, beside several as well."""
    cpu_share, found = CpuShare(2, tmp_path), []
    with cpu_share.used(), cpu_share.used():
        found.append(cpu_share.crowded)
        with worker(tmp_path, "busy"):
            found.append(cpu_share.crowded)
            with worker(tmp_path, "idle"):
                found.append(cpu_share.crowded)
    found.append(cpu_share.crowded)
    assert found == [False, False, True, False]


@pytest.mark.parametrize("share, at_once", [(1, 1), (2, 2), (5, 3)])
def test_a_pool_keeps_to_its_share(share: int, at_once: int) -> None:
    """A pool of three threads uses only its share of the moment; further calls wait."""
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
