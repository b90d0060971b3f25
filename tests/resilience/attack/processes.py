"""What happens to processes and machines: kills, few descriptors, a full disk, calls that never return, upgrades."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sidecar.testing.fakes import gradient
from tests.nginx.peers import HOST
from tests.nginx.servers import Sidecar, free_port, wait_for
from tests.resilience.attack.attack import Attack, Outcome, Setup
from tests.resilience.attack.ground import LARGE, WORKERS, Ground
from tests.resilience.attack.wire import Reply, fetch, many
from tests.resilience.site import cantaloupes

KILLS: Final = 4
BOOT: Final = 4.0
DESCRIPTORS: Final = 64
QUICK: Final = 10.0
"""Seconds within which a start that cannot succeed ends, most of which loading Python takes on a busy machine."""
BUSY: Final = tuple(
    f"/iiif/3/{name}/{x},{y},256,256/128,/0/default.png"
    for name in ("tiled_512.jp2", "odd_1023x767_tiled_300.jp2", "slide.svs")
    for x in (0, 300)
    for y in (0, 300)
)


@contextmanager
def load(ground: Ground, clients: int = 3) -> Iterator[Counter[str]]:
    """Ask all the time, by several clients, and count what the answers are: right, handed over, lost or wrong."""
    truths = {target: ground.ask(target).body for target in BUSY}
    over, seen, lock = threading.Event(), Counter[str](), threading.Lock()

    def ask(client: int) -> None:
        turn = client
        while not over.is_set():
            target = BUSY[turn % len(BUSY)]
            turn += 1
            reply = fetch(ground.port, target, source=f"127.0.0.{10 + client}")
            with lock:
                seen[_word(reply, target, truths[target])] += 1

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask, client) for client in range(clients)]
        try:
            yield seen
        finally:
            over.set()
    for each in asking:
        each.result()


def _word(reply: Reply, target: str, truth: bytes) -> str:
    if reply.status != 200:
        return "lost"
    if reply.body == truth:
        return "right"
    return "handed over" if reply.body == cantaloupes(target) else "wrong"


def told(seen: Counter[str], *more: str) -> Outcome:
    """Return the outcome of a load."""
    faults = [f"{seen[word]} of {seen.total()} answers {word}" for word in ("lost", "wrong") if seen[word]]
    words = ", ".join(f"{count} {word}" for word, count in seen.most_common())
    return Outcome(seen.total(), [*faults, *more], words)


def killed(ground: Ground) -> Outcome:
    """Kill workers with SIGKILL under load, one after the other."""
    return _killed(ground, 1)


def all_killed(ground: Ground) -> Outcome:
    """Kill all workers with SIGKILL at once, under load."""
    return _killed(ground, WORKERS)


def _killed(ground: Ground, count: int) -> Outcome:
    with load(ground) as seen:
        for _ in range(KILLS // count):
            # Long enough for a worker to take its place: who kills faster kills all of them, which is another row.
            time.sleep(BOOT)
            before = ground.workers
            for worker in before[:count]:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            wait_for(lambda known=before: {*ground.workers} - {*known} != set(), "a new worker")  # type: ignore[misc]
    wait_for(lambda: len(ground.workers) == WORKERS and ground.sidecar.healthy, "two workers")
    return told(seen)


def descriptors(ground: Ground) -> Outcome:
    """Leave workers 64 descriptors, open 200 connections to the sidecar, close them; then start one with as few."""
    faults, before = [], {worker: resource.prlimit(worker, resource.RLIMIT_NOFILE) for worker in ground.workers}
    for worker, (_, most) in before.items():
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (DESCRIPTORS, most))
    with many(ground.sidecar.port, 200) as clients:
        time.sleep(2.0)
        count = len(clients)
        # Through nginx others must be served, by the sidecar or by Cantaloupe; that is the probe's business.
    time.sleep(1.0)
    reply = fetch(ground.sidecar.port, BUSY[0], patience=10)
    if reply.status != 200:
        faults.append(f"not recovered once they have left: {reply.status or 'no answer'}")
    for worker, limits in before.items():
        with suppress(ProcessLookupError):
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
    log = begun(ground, f"ulimit -n {DESCRIPTORS};")[1]
    if "descriptor" not in log and "RLIMIT" not in log and "ulimit" not in log:
        faults.append("the start does not say that 64 descriptors are too few")
    return Outcome(count + 1, faults, "refused early, recovered, reported at start")


def begun(ground: Ground, before: str = "", toml: str = "", port: int = 0) -> tuple[int | None, str, float]:
    """Start another sidecar in a shell; its status (None: it runs on), what it wrote, and how long it ran."""
    folder = ground.home / f"start-{time.monotonic_ns()}"
    folder.mkdir()
    (folder / "sidecar.toml").write_text(f'bind = "{HOST}:{port or free_port()}"\n{ground.toml(toml)}')
    command = f"{before} exec {sys.executable} -m sidecar serve --config {folder / 'sidecar.toml'}"
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["sh", "-c", command], stdout=log, stderr=log, start_new_session=True)
    try:
        status: int | None = process.wait(QUICK)
    except subprocess.TimeoutExpired:
        status = None
    seconds = time.monotonic() - began
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return status, (folder / "log").read_text(errors="replace"), seconds


def full_disk(ground: Ground) -> Outcome:
    """Run a sidecar whose runtime folder lies on a disk of 2 MB, fill that, and ask; then make room again."""
    disk = ground.home / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False).returncode:
        return Outcome(0, ["not tried: nobody may mount a small disk here"])
    home = ground.home / "small"
    home.mkdir()
    before, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(disk)
    try:
        return _filled(Sidecar(home, ground.toml()), disk)
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
        subprocess.run(["umount", "-l", str(disk)], check=False)


def _filled(sidecar: Sidecar, disk: Path) -> Outcome:
    faults, lost = [], 0
    try:
        wait_for(lambda: sidecar.serves(WORKERS), "workers")
        first = sidecar.workers()
        with suppress(OSError), (disk / "full").open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        for turn in range(60):
            target = (*BUSY, "/iiif/3/none.jp2/info.json", "/iiif/2/a", LARGE)[turn % (len(BUSY) + 3)]
            lost += fetch(sidecar.port, target).status == 0
        # New workers make files of their own.
        os.kill(first[0], signal.SIGKILL)
        time.sleep(3.0)
        for target in BUSY:
            lost += fetch(sidecar.port, target, patience=10).status == 0
        deaths = sidecar.process.log.read_text(errors="replace").count("SIGBUS")
        if deaths:
            faults.append(f"{deaths} workers died of SIGBUS")
        if lost:
            faults.append(f"{lost} answers lost")
        (disk / "full").unlink()
        time.sleep(1.0)
        if fetch(sidecar.port, BUSY[0], patience=10).status != 200:
            faults.append("not recovered once there is room")
    finally:
        sidecar.process.stop(signal.SIGKILL)
    return Outcome(60 + len(BUSY), faults, "no worker died, no answer lost")


def fifo(ground: Ground) -> Outcome:
    """Put pipes that nobody writes into the root, and ask for them by eight clients at once."""
    for name in ("pipe.jp2", "pipe.svs"):
        os.mkfifo(ground.images / name)
    targets = [
        f"/iiif/3/pipe.{suffix}/{rest}" for suffix in ("jp2", "svs") for rest in ("info.json", "full/max/0/default.jpg")
    ]
    with ThreadPoolExecutor(8) as clients:
        replies = [*clients.map(lambda target: ground.ask(target, patience=10), targets * 2)]
    faults = [f"{sum(not reply.status for reply in replies)} answers not within 10 s"] * any(
        not reply.status for reply in replies
    )
    large = ground.ask(LARGE, patience=25)
    if large.status != 200 or large.kind != "image/png":
        faults.append(f"a large picture afterwards: {large.status or 'no answer'}")
    return Outcome(len(targets) * 2, faults, "no image; large pictures go on")


def stuck(ground: Ground) -> Outcome:
    """Get a native call for a large picture stuck in each worker for good, and ask for other large ones."""
    gate = ground.home / "gate"
    gate.touch()
    for number in range(4):
        (ground.images / f"stuck{number}.czi").write_bytes(gradient(3000, 3000, tile=0) + f"stall {gate}\n".encode())
    (ground.images / "fine.czi").write_bytes(gradient(3000, 3000, tile=0) + b"none\n")
    fine, faults = "/iiif/3/fine.czi/full/max/0/default.jpg", []
    truth = ground.ask(fine).body
    pool = ThreadPoolExecutor(4)
    waiting: list[Future[Reply]] = [
        pool.submit(ground.ask, f"/iiif/3/stuck{number}.czi/full/max/0/default.jpg") for number in range(4)
    ]
    time.sleep(6.0)
    replies = [ground.ask(fine, patience=20) for _ in range(4)]
    right = [reply for reply in replies if reply.status == 200 and reply.body in (truth, cantaloupes(fine))]
    if len(right) < len(replies):
        found = sorted({reply.status for reply in replies if reply not in right})
        faults.append(f"{len(replies) - len(right)} of {len(replies)} other large pictures: {found}")
    ready = fetch(ground.sidecar.port, "/sidecar/ready").status
    native = [reply for reply in replies if reply.kind == "image/jpeg"]
    if ready == 200 and not native:
        faults.append("the sidecar says that it is ready and makes no large picture")
    gate.unlink()
    for each in waiting:
        with suppress(TimeoutError):
            each.result(30)
    pool.shutdown(wait=False)
    slowest = max(reply.seconds for reply in replies)
    text = f"{len(native)} of {len(replies)} large pictures made, the slowest after {slowest:.1f} s"
    return Outcome(len(replies) + 4, faults, text)


def upgraded(ground: Ground) -> Outcome:
    """Start another sidecar, send nginx there, stop the first by SIGTERM, all under load, and back again."""
    home = ground.home / "next"
    home.mkdir()
    path = ground.nginx.folder / "sidecar" / "sidecar.conf"
    text = path.read_text()
    with load(ground) as seen:
        after = Sidecar(home, ground.toml())
        wait_for(lambda: after.serves(WORKERS), "workers")
        _moved(ground, path, text.replace(f"{HOST}:{ground.sidecar.port}", f"{HOST}:{after.port}"))
        os.kill(ground.sidecar.process.pid, signal.SIGTERM)
        wait_for(lambda: not ground.sidecar.process.running, "the first has stopped")
        time.sleep(1.0)
        ground.sidecar.start()
        _moved(ground, path, text)
        os.kill(after.process.pid, signal.SIGTERM)
        wait_for(lambda: not after.process.running, "the second has stopped")
    return told(seen)


def _moved(ground: Ground, path: Path, text: str) -> None:
    path.write_text(text)
    ground.nginx.reload()
    time.sleep(1.0)


def stopped(ground: Ground) -> Outcome:
    """Stop the sidecar by SIGINT and by SIGTERM under load and start it again: Cantaloupe answers meanwhile."""
    with load(ground) as seen:
        for number in (signal.SIGTERM, signal.SIGINT):
            time.sleep(0.5)
            os.kill(ground.sidecar.process.pid, number)
            wait_for(lambda: not ground.sidecar.process.running, "it has stopped")
            time.sleep(0.5)
            ground.sidecar.start()
    return told(seen)


Run = Callable[[Ground], Outcome]

STUCK: Final = Setup(toml="first_byte_timeout = 2\nqueue_timeout = 1\nthreads = 2\n", trouble=True, memory=400_000_000)

ATTACKS: Final = (
    Attack("workers killed by SIGKILL under load", "processes", "0 lost, 0 wrong", killed),
    Attack("all workers killed at once, under load", "processes", "0 lost, 0 wrong", all_killed),
    Attack("stopped and started again under load", "processes", "0 lost, Cantaloupe answers meanwhile", stopped),
    Attack("upgrade by a second sidecar under load", "processes", "0 lost, 0 wrong", upgraded),
    Attack("64 file descriptors, 200 connections", "processes", "refused early, recovered, reported", descriptors),
    Attack("a full disk under the runtime folder", "processes", "no worker dies, no answer lost", full_disk),
    Attack("pipes in the root", "places", "no image, nothing waits", fifo),
    Attack("native calls stuck for good, for large pictures", "places", "other large pictures go on", stuck, STUCK),
)
