"""All requests for an image reach the same worker, and others take over when that one cannot answer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, Answer, Peer, ask, reply, saying
from tests.nginx.servers import Nginx, Sidecar, free_port, wait_for

IMAGES = [f"{number}.jp2" for number in range(12)]
"""So many that hardly ever all are one worker's; which are whose depends on the port."""
TILES = [f"{x},{y},256,256/128,/0/default.jpg" for x in (0, 100, 200) for y in (0, 100)]
CLIENTS = 2
LINE = re.compile(r'"id": "(\w+)", "worker": (\d+), [^{}]*?"path": "/iiif/3/([^/"]+)')
"""Of a request in the log; lines of two workers may run into each other."""


@pytest.fixture(scope="module")
def home(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with several images."""
    folder = tmp_path_factory.mktemp("affinity")
    (folder / "images").mkdir()
    for name in IMAGES:
        shutil.copy(images / "tiled_512.jp2", folder / "images" / name)
    return folder


@pytest.fixture(scope="module")
def module_stack(home: Path) -> Iterator[Stack]:
    """Yield servers that may be hurt, and no Cantaloupe that could step in."""
    sidecar = Sidecar(home, settings(home, 2))
    with Nginx(home / "nginx", sidecar.port, free_port()) as nginx, Peer(saying(b"")) as nobody:
        yield Stack(nginx, sidecar, nobody)
    sidecar.process.stop(signal.SIGKILL)


@pytest.fixture
def stack(module_stack: Stack) -> Stack:
    """Wait until both workers serve, and each has its slot."""
    wait_for(lambda: settled(module_stack, 2), "each worker has its slot")
    return module_stack


def settings(home: Path, workers: int) -> str:
    """Settings with a number of workers."""
    return f'workers = {workers}\ndrain_time = 0.1\n[filesystem]\nroot = "{home / "images"}"\n'


def settled(stack: Stack, workers: int) -> bool:
    """Whether so many workers serve, and all images are answered by them, each by one."""
    return stack.sidecar.serves(workers) and owners(stack) == workers


def answered(stack: Stack, targets: Sequence[str]) -> dict[str, set[int]]:
    """Ask all at once; the workers that have answered for each image, by the log."""
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda target: ask(stack.port, target), targets)]
    assert {answer.status for answer in answers} == {200}
    ids = {answer.headers["X-Request-Id"] for answer in answers}
    found: dict[str, set[int]] = defaultdict(set)

    def logged() -> int:
        lines = [line for line in LINE.findall(stack.sidecar.process.log.read_text()) if line[0] in ids]
        for _, worker, name in lines:
            found[name].add(int(worker))
        return len(lines)

    wait_for(lambda: logged() == len(targets), "all requests are in the log")
    return found


def pages(name: str) -> list[str]:
    """All that a viewer asks of an image at once."""
    return [f"/iiif/3/{name}/info.json", *(f"/iiif/3/{name}/{tile}" for tile in TILES)]


def owner(stack: Stack, name: str) -> int:
    """The worker to which an image goes; a single answer may be another's, which helps."""
    found = list[set[int]]()

    def alike() -> bool:
        found.append(answered(stack, [f"/iiif/3/{name}/info.json"] * 3)[name])
        return len(found[-1]) == 1

    wait_for(alike, f"one worker has {name}")
    return found[-1].pop()


@contextmanager
def load(port: int) -> Iterator[list[Answer]]:
    """Ask for tiles of all images all the while."""
    over, answers = threading.Event(), list[Answer]()

    def run(first: int) -> None:
        targets = [target for name in IMAGES[first:] + IMAGES[:first] for target in pages(name)]
        while not over.is_set():
            for target in targets:
                answers.append(ask(port, target))
                time.sleep(0.1)  # what is under test needs the processors

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(run, number) for number in range(CLIENTS)]
        try:
            wait_for(lambda: len(answers) > CLIENTS, "answers before")
            yield answers
            so_far = len(answers)
            wait_for(lambda: len(answers) > so_far + 10 or any(each.done() for each in clients), "answers after")
        finally:
            over.set()
    assert [client.exception() for client in clients] == [None] * CLIENTS


def test_an_image_stays_with_one_worker(stack: Stack) -> None:
    """info.json and all tiles of an image are answered by the same worker, and images are spread over both.

    A worker that others keep from the processor is helped by the other one, so each image has three tries; by chance
    alone, its seven answers would come from one worker in one try of 64.
    """
    targets = [target for name in IMAGES for target in pages(name)]
    rounds = [answered(stack, targets) for _ in range(3)]
    assert all(any(len(found[name]) == 1 for found in rounds) for name in IMAGES)
    assert set[int]().union(*(found[name] for found in rounds for name in IMAGES)) == {*stack.sidecar.workers()}


def test_another_worker_takes_over(stack: Stack, tmp_path: Path) -> None:
    """The images of a worker that stands still, or is gone, are answered by the other; then by the one in its place."""
    name, workers = IMAGES[0], {*stack.sidecar.workers()}
    stopped = owner(stack, name)
    (other,) = workers - {stopped}
    os.kill(stopped, signal.SIGSTOP)
    try:
        # Not on a connection that nginx has kept: what is sent there waits.
        with Nginx(tmp_path / "nginx", stack.sidecar.port, free_port()) as nginx:
            assert owner(replace(stack, nginx=nginx), name) == other
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_for(lambda: owner(stack, name) == stopped, "it is back")
    os.kill(stopped, signal.SIGKILL)
    assert owner(stack, name) == other
    wait_for(lambda: settled(stack, 2), "another in its place")
    wait_for(lambda: owner(stack, name) not in {stopped, other}, "the image is the new one's")


def test_a_killed_worker_loses_only_what_it_had_begun(stack: Stack) -> None:
    """Under load, what waits at the killed worker's slot is answered by the other: nobody else could have answered."""
    killed = owner(stack, IMAGES[0])
    with load(stack.port) as answers:
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: killed not in stack.sidecar.workers() and len(stack.sidecar.workers()) == 2, "another worker")
    lost = [answer.status for answer in answers if answer.status != 200]
    # 502: it had begun with them, and Cantaloupe, which would have been asked, is not there.
    assert len(lost) <= CLIENTS
    assert {*lost} <= {502}


def test_a_slot_that_nobody_listens_at(stack: Stack, tmp_path: Path) -> None:
    """A site with other slots than there are asks any worker for their images, and Cantaloupe for none."""
    missing = [f"127.1.0.9:{stack.sidecar.port}"]
    with Nginx(tmp_path / "nginx", stack.sidecar.port, free_port(), slots=missing) as nginx:
        assert {ask(nginx.port, target).status for target in pages(IMAGES[0])} == {200}


@pytest.fixture(scope="module")
def crew() -> Iterator[list[Peer]]:
    """Four servers in the workers' place, and what each was asked."""
    said = saying(reply(200, b"x", Content_Type="text/plain"))
    peers = [Peer(said) for _ in range(4)]
    with ExitStack() as running:
        yield [running.enter_context(peer) for peer in peers]


@pytest.fixture
def spread(crew: list[Peer], tmp_path: Path) -> Iterator[Nginx]:
    """A site that sends images to the four, as if they were on machines of their own."""
    with Nginx(tmp_path / "nginx", free_port(), free_port(), slots=[f"{HOST}:{peer.port}" for peer in crew]) as nginx:
        for peer in crew:
            peer.requests.clear()
        yield nginx


@pytest.mark.parametrize("identifier", ["a.jp2", "some%2Ffolder%2Fa.jp2", "a%3Bb.jp2"])
def test_one_image_is_one_key(crew: list[Peer], spread: Nginx, identifier: str) -> None:
    """However its identifier is percent-encoded, and whatever is asked of an image, it is the same server's."""
    spellings = {identifier, identifier.lower(), identifier.replace(".", "%2E"), f"{identifier};1;1:2"}
    rests = ("/info.json", "", "/", "/full/max/0/default.jpg", "/0,0,9,9/^!9,9/!22.5/gray.png?a=/b", "/info.json?x")
    for spelling in spellings:
        for rest in rests:
            assert ask(spread.port, f"/iiif/3/{spelling}{rest}").status == 200
    assert sorted(len(peer.requests) for peer in crew) == [0, 0, 0, len(spellings) * len(rests)]


def test_images_are_spread(crew: list[Peer], spread: Nginx) -> None:
    """Of many images each server gets its part."""
    for number in range(80):
        ask(spread.port, f"/iiif/3/{number}.jp2/info.json")
    assert min(len(peer.requests) for peer in crew) >= 5


def test_a_request_that_reached_a_worker_is_not_repeated(crew: list[Peer], spread: Nginx) -> None:
    """An image that crashes the worker it is sent to is sent to no other."""
    said = crew[0].behaviour
    for peer in crew:
        peer.behaviour = lambda *_: False
    assert ask(spread.port, "/iiif/3/a.jp2/info.json").status == 502
    assert sum(len(peer.requests) for peer in crew) == 1
    for peer in crew:
        peer.behaviour = said


def test_fewer_and_more_workers(stack: Stack, home: Path) -> None:
    """Reloads to one worker and back to two lose no answer; one alone answers at both slots."""
    toml = home / "sidecar.toml"
    right = toml.read_text()
    with load(stack.port) as answers:
        for workers in (1, 2):
            toml.write_text(right.replace("workers = 2", f"workers = {workers}"))
            os.truncate(stack.sidecar.process.log, 0)
            os.kill(stack.sidecar.process.pid, signal.SIGHUP)
            # One after the other: on a machine that has much to do, each takes its time.
            for text in ("Booting worker", "sandbox", f"Reloaded: {workers} new workers serve"):
                wait_for(lambda line=text: line in stack.sidecar.process.log.read_text(), text)  # type: ignore[misc]
            wait_for(lambda: owners(stack) == workers, "each slot is a worker's")  # noqa: B023  # it waits here
    assert {answer.status for answer in answers} == {200}


def owners(stack: Stack) -> int:
    """How many workers answer for all images, each for its own; 0 if an image is not one worker's."""
    found = answered(stack, [f"/iiif/3/{name}/info.json" for name in IMAGES] * 2)
    return len(set[int]().union(*found.values())) if all(len(by) == 1 for by in found.values()) else 0
