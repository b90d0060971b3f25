"""The sidecar stays up: crashes and stalls of native code, a killed worker, full queues, deadlines, a stop in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.testing.fakes import gradient
from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, PATIENCE, Answer, Peer, ask, slow_client
from tests.nginx.servers import Nginx, Sidecar, wait_for

MASTER = "cantaloupe's answer"
Start = Callable[[str], Stack]


@pytest.fixture
def home(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with images, and put the plugin for trouble where Python finds it."""
    plugins = tmp_path / "plugins"
    described = plugins / "trouble-1.dist-info"
    described.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("trouble.py"), plugins)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[sidecar]\ntrouble = trouble\n")
    monkeypatch.setenv("PYTHONPATH", str(plugins))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "images").mkdir()
    shutil.copy(images / "tiled_512.jp2", tmp_path / "images")
    shutil.copy(images / "slide.svs", tmp_path / "images")
    return tmp_path


@pytest.fixture
def start(home: Path, cantaloupe: Peer, logs: list[Path]) -> Iterator[Start]:
    """Yield a function that starts nginx and a sidecar with some settings."""
    running: list[Stack] = []

    def start(toml: str) -> Stack:
        tables = f'[filesystem]\nroot = "{home / "images"}"\n[openslide]\nsuffixes = ["svs"]\n'
        sidecar = Sidecar(home, f"{toml}\n{tables}")
        nginx = Nginx(home / "nginx", sidecar.port, cantaloupe.port).__enter__()
        running.append(Stack(nginx, sidecar, cantaloupe))
        logs.append(sidecar.process.log)
        return running[-1]

    yield start
    for stack in running:
        stack.nginx.__exit__()
        # Not in order: calls that a test has left stuck would be waited for.
        stack.sidecar.process.stop(signal.SIGKILL)
        logs.pop()


def image(home: Path, name: str, trouble: str, side: int = 256) -> str:
    """Write an image with trouble; the URL of a whole of it, at full size."""
    (home / "images" / f"{name}.czi").write_bytes(gradient(side, side, tile=0) + trouble.encode() + b"\n")
    return f"/iiif/3/{name}.czi/full/max/0/default.jpg"


def tile(number: int) -> str:
    """The URL of a tile of an image without trouble; each number another."""
    return f"/iiif/3/tiled_512.jp2/{number % 256},{number // 256},256,256/128,/0/default.jpg"


def together(port: int, *targets: str) -> list[Future[Answer]]:
    """Ask all at once."""
    pool = ThreadPoolExecutor(len(targets))
    asked = [pool.submit(ask, port, target) for target in targets]
    pool.shutdown(wait=False)
    return asked


def renewed(stack: Stack, before: list[int]) -> int:
    """How many workers there are that were not before."""
    return len(set(stack.sidecar.workers()) - set(before))


def handed_over(stack: Stack, reason: str) -> float:
    """How many requests were handed over for a reason, as all workers together know."""
    return stack.sidecar.metric(f'sidecar_handovers_total{{reason="{reason}"}}')


def test_killed_workers_lose_no_answer(start: Start) -> None:
    """While workers are killed under load, every request has its whole answer, from the sidecar or from Cantaloupe."""
    stack = start("workers = 2")
    over = threading.Event()

    def load(first: int) -> list[Answer]:
        answers: list[Answer] = []
        while not over.is_set():
            answers.append(ask(stack.port, tile(first + len(answers))))
        return answers

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, 10_000 * number) for number in range(4)]
        try:
            for _ in range(3):
                wait_for(lambda: stack.sidecar.serves(2), "both serve")
                before = stack.sidecar.workers()
                os.kill(before[0], signal.SIGKILL)
                wait_for(lambda known=before: renewed(stack, known) == 1, "a new worker")  # type: ignore[misc]
        finally:
            over.set()
    answers = [answer for one in loads for answer in one.result()]
    assert {answer.status for answer in answers} == {200}
    kinds = {answer.headers["Content-Type"] for answer in answers}
    assert "image/jpeg" in kinds
    assert kinds <= {"image/jpeg", "text/plain"}


def test_head_and_body_of_a_tile_leave_together(start: Start) -> None:
    """Head and body of a tile arrive together, so that no kill can come between them."""
    stack = start("workers = 1")
    for number in range(20):
        with socket.create_connection((HOST, stack.sidecar.port), PATIENCE) as asking:
            asking.sendall(f"GET {tile(number)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, _, body = asking.recv(65536).partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode().lower() in head.lower()


def test_an_image_that_crashes_a_worker_is_handed_over(start: Start, home: Path) -> None:
    """Cantaloupe answers instead of the crashed worker, and from then on without another try; other images go on."""
    stack = start("workers = 2")
    target = image(home, "bad", "crash")
    before = stack.sidecar.workers()
    assert ask(stack.port, target).text == MASTER
    wait_for(lambda: renewed(stack, before) == 1, "a new worker")
    after = stack.sidecar.workers()
    assert [ask(stack.port, target).text for _ in range(4)] == [MASTER] * 4
    assert "recently crashed" in ask(stack.sidecar.port, target).text
    assert ask(stack.port, tile(0)).headers["Content-Type"] == "image/jpeg"
    assert stack.sidecar.workers() == after
    assert "Segmentation fault" in stack.sidecar.process.log.read_text()


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_decoder_that_raises_is_replaced_by_cantaloupe(start: Start, home: Path, call: str) -> None:
    """An exception that nobody foresaw hands the request over; it is counted and logged, and the worker goes on."""
    stack = start("workers = 1")
    before = stack.sidecar.workers()
    target = image(home, "broken", f"raise {call}")
    assert [ask(stack.port, target).text for _ in range(2)] == [MASTER] * 2
    assert handed_over(stack, "plugin") == 2
    assert stack.sidecar.metric('sidecar_plugin_failures_total{plugin="trouble"}') == 2
    lines = [json.loads(line) for line in stack.sidecar.process.log.read_text().splitlines() if line.startswith("{")]
    failures = [line for line in lines if "exception" in line]
    assert [(line["plugin"], line["image"]) for line in failures] == [("trouble", "broken.czi")] * 2
    assert all(f"in {call}\n" in line["exception"] for line in failures)
    assert all("ZeroDivisionError: this decoder is broken" in line["exception"] for line in failures)
    alone = ask(stack.sidecar.port, target)
    assert (alone.status, "a plugin of the sidecar failed" in alone.text) == (500, True)
    assert ask(stack.port, tile(0)).headers["Content-Type"] == "image/jpeg"
    assert stack.sidecar.workers() == before
    wait_for(lambda: stack.sidecar.idle, "everything is returned")


def test_other_images_are_not_quarantined(start: Start, home: Path) -> None:
    """An image in progress beside one that crashes, or in a worker killed from outside, is not quarantined."""
    stack = start("workers = 1")
    gate = home / "gate"
    gate.touch()
    other = image(home, "slow", f"stall {gate}")
    for end in ("crash", "kill"):
        running = slow_client(stack.sidecar.port, other)
        wait_for(lambda: stack.sidecar.metric("sidecar_readers_leased") == 1, "it runs")
        before = stack.sidecar.workers()
        if end == "crash":
            assert ask(stack.port, image(home, "bad", "crash")).text == MASTER
        else:
            os.kill(before[0], signal.SIGKILL)
        wait_for(lambda known=before: renewed(stack, known) == 1, "a new worker")  # type: ignore[misc]
        wait_for(lambda: stack.sidecar.healthy, "it answers")
        running.close()
    gate.unlink()
    assert ask(stack.port, other).headers["Content-Type"] == "image/jpeg"


def test_a_stuck_decode_is_handed_over_and_hurts_nobody(start: Start, home: Path) -> None:
    """After the deadline Cantaloupe answers; tiles go on; what the stuck call uses stays taken until it returns."""
    stack = start("workers = 1\nthreads = 2\nfirst_byte_timeout = 4\nstuck_calls = 4")
    gate = home / "gate"
    gate.touch()
    stuck = image(home, "stuck", f"stall {gate}")
    waiting = together(stack.port, stuck)
    assert {ask(stack.port, tile(number)).headers["Content-Type"] for number in range(10)} == {"image/jpeg"}
    assert waiting[0].result().text == MASTER
    assert handed_over(stack, "deadline") == 1
    wait_for(lambda: stack.sidecar.metric("sidecar_native_threads_lost") == 1, "the thread is counted out")
    assert stack.sidecar.metric("sidecar_permits_bytes_in_use") > 0
    assert stack.sidecar.metric("sidecar_readers_leased") == 1
    assert ask(stack.port, stuck).text == MASTER
    assert handed_over(stack, "quarantined") == 1
    assert {answer.result().status for answer in together(stack.port, *map(tile, range(100, 110)))} == {200}
    kept = stack.sidecar.metric("sidecar_readers_idle")
    gate.unlink()
    wait_for(lambda: stack.sidecar.metric("sidecar_native_threads_lost") == 0, "the thread is back")
    wait_for(lambda: stack.sidecar.idle, "everything is returned")
    # Its call has come back after all, so that reader is as good as others.
    assert stack.sidecar.metric("sidecar_readers_idle") == kept + 1


def test_a_worker_with_too_many_stuck_calls_is_replaced(start: Start, home: Path) -> None:
    """At the third stuck call the worker is replaced by another, which serves as before."""
    stack = start("workers = 1\nthreads = 4\nfirst_byte_timeout = 3\nstuck_calls = 3\ndrain_time = 0.1")
    gate = home / "gate"
    gate.touch()
    before = stack.sidecar.workers()
    targets = [image(home, f"stuck{number}", f"stall {gate}") for number in range(3)]
    assert [answer.result().text for answer in together(stack.port, *targets)] == [MASTER] * 3
    wait_for(lambda: renewed(stack, before) == 1, "another worker")
    wait_for(lambda: stack.sidecar.healthy, "it answers")
    assert ask(stack.port, tile(0)).headers["Content-Type"] == "image/jpeg"
    assert ask(stack.port, targets[0]).text == MASTER
    wait_for(lambda: stack.sidecar.metric("sidecar_native_threads_lost") == 0, "the old one has ended")
    assert "crashed" not in stack.sidecar.process.log.read_text().replace("recently crashed", "")


def test_a_full_queue_refuses_at_once(start: Start, home: Path) -> None:
    """A request that finds the queue full is refused with Retry-After; a waiting client that leaves makes room."""
    stack = start("workers = 1\nmemory_bytes = 32_000_000\nqueue_size = 1\nstall_timeout = 3600\nqueue_timeout = 3600")
    gate = home / "gate"
    gate.touch()
    targets = [image(home, f"wide{number}", f"stall {gate}", side=760) for number in range(3)]
    running = slow_client(stack.port, targets[0])
    wait_for(lambda: stack.sidecar.metric("sidecar_readers_leased") == 1, "one is read")
    assert ask(stack.sidecar.port, "/sidecar/ready").status == 200
    queued = slow_client(stack.port, targets[1])
    wait_for(lambda: stack.sidecar.metric("sidecar_permits_waiting") == 1, "one waits")
    refused = ask(stack.port, targets[2])
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert ask(stack.sidecar.port, "/sidecar/ready").status == 503
    assert ask(stack.sidecar.port, "/sidecar/health").status == 200
    queued.close()
    wait_for(lambda: stack.sidecar.metric("sidecar_permits_waiting") == 0, "nobody waits")
    assert stack.sidecar.metric("sidecar_readers_leased") == 1
    assert ask(stack.sidecar.port, "/sidecar/ready").status == 200
    gate.unlink()
    wait_for(lambda: stack.sidecar.idle, "everything is returned")
    running.close()
    assert stack.cantaloupe.requests == []


def test_what_exceeds_the_memory_alone_is_refused(start: Start, home: Path) -> None:
    """A response that never fits is refused with the limit, and not handed over."""
    stack = start("workers = 1\nmemory_bytes = 32_000_000")
    answer = ask(stack.port, image(home, "huge", "none", side=3000))
    assert answer.status == 413
    assert "the limit is 11 MiB" in answer.text
    assert stack.cantaloupe.requests == []


def test_who_reads_too_slowly_is_cut_off(start: Start) -> None:
    """After the total time the connection breaks, also if the client reads nothing, and everything is returned."""
    stack = start("workers = 1\ntotal_timeout = 1")
    with slow_client(stack.sidecar.port, "/iiif/3/slide.svs/full/max/0/default.png") as slow:
        slow.recv(1)
        wait_for(lambda: stack.sidecar.idle, "everything is returned")
        with suppress(ConnectionResetError):
            assert not b"".join(iter(lambda: slow.recv(65536), b"")).endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_is_no_error(start: Start) -> None:
    """A client that disconnects during a large response ends the work, without an error in the log."""
    stack = start("workers = 1")
    for _ in range(3):
        with slow_client(stack.sidecar.port, "/iiif/3/slide.svs/full/max/0/default.png") as leaving:
            leaving.recv(1)
            # A leave in order, as nginx's: what was sent before is still taken.
            leaving.shutdown(socket.SHUT_WR)
            while leaving.recv(65536):
                pass
    wait_for(lambda: stack.sidecar.idle, "everything is returned")
    log = stack.sidecar.process.log.read_text()
    assert log.count('"reason": "client-gone"') == 3
    assert "Traceback" not in log


def test_readiness_turns_off_first(start: Start) -> None:
    """Before it stops, the sidecar reports that it is not ready while it still answers, then ends by itself."""
    stack = start("workers = 1\ndrain_time = 4")
    assert ask(stack.sidecar.port, "/sidecar/ready").status == 200
    os.kill(stack.sidecar.process.pid, signal.SIGTERM)
    wait_for(lambda: ask(stack.sidecar.port, "/sidecar/ready").status == 503, "it is not ready")
    assert ask(stack.port, tile(0)).headers["Content-Type"] == "image/jpeg"
    wait_for(lambda: not stack.sidecar.process.running, "it ends")
    assert ask(stack.port, tile(1)).text == MASTER


def test_a_reload_loses_no_answer(start: Start) -> None:
    """While all workers are replaced by a reload, every request has its whole answer."""
    stack = start("workers = 2\ndrain_time = 0.1")
    before = stack.sidecar.workers()
    os.kill(stack.sidecar.process.pid, signal.SIGHUP)
    answers: list[Answer] = []
    ends = time.monotonic() + 60
    while set(stack.sidecar.workers()) & set(before) and time.monotonic() < ends:
        few = range(len(answers), len(answers) + 4)
        answers += [answer.result() for answer in together(stack.port, *map(tile, few))]
    assert not set(stack.sidecar.workers()) & set(before)
    assert {answer.headers["Content-Type"] for answer in answers} == {"image/jpeg"}


def test_the_loop_is_measured(start: Start) -> None:
    """How late the event loop runs is counted all the time, and the longest of the last minute is known."""
    stack = start("workers = 1")
    wait_for(lambda: stack.sidecar.metric("sidecar_loop_late_seconds_count") > 20, "samples")
    wait_for(lambda: stack.sidecar.metric("sidecar_loop_longest_late_seconds") > 0, "the longest")
