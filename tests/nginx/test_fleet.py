"""Sidecars on several hosts: one that is killed or added moves few images, and loses nothing.

There is no Cantaloupe, so that nothing but a sidecar can have answered.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from sidecar.cli.nginx_fleet import Fleet
from sidecar.testing.object_store import Link, ObjectStore
from tests.nginx.fleet import BUCKET, Sidecars, answered_by, host, rewrite
from tests.nginx.name_server import NameServer
from tests.nginx.peers import Answer, ask
from tests.nginx.servers import REPOSITORY, Nginx, NginxServer, wait_for

IMAGES = [f"{number}.jp2" for number in range(60)]
HOSTS = 4
CLIENTS = 3
LATENCY = 0.005
ENOUGH = 30
"""Answers before something happens, and after it."""


@pytest.fixture(scope="module")
def store(images: Path) -> Iterator[ObjectStore]:
    """Yield a store with many images."""
    body = (images / "tiled_512.jp2").read_bytes()
    with ObjectStore({f"{BUCKET}/{name}": body for name in IMAGES}, link=Link(LATENCY)) as store:
        yield store


@pytest.fixture(scope="module")
def module_sidecars(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecars]:
    """Yield sidecars that may be killed."""
    with Sidecars(tmp_path_factory.mktemp("fleet"), store.url, HOSTS) as sidecars:
        yield sidecars


@pytest.fixture
def sidecars(module_sidecars: Sidecars) -> Sidecars:
    """All of them, up."""
    module_sidecars.revive()
    return module_sidecars


def places(nginx: Nginx) -> dict[str, str]:
    """The host that answers for each image."""

    def place(name: str) -> str:
        answer = ask(nginx.port, f"/iiif/3/{name}/info.json")
        assert answer.status == 200
        return answered_by(answer)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return dict(zip(IMAGES, pool.map(place, IMAGES), strict=True))


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The images that are another host's."""
    return {name for name in before if before[name] != after[name]}


def test_hosts_that_come_and_go_move_few_images(sidecars: Sidecars) -> None:
    """Of n hosts each has some images, and one more or one less moves its own images only, at most 2/n of all."""
    found: list[dict[str, str]] = []
    for count in range(1, HOSTS + 1):
        with sidecars.nginx(range(count)) as nginx:
            found.append(places(nginx))
        assert {*found[-1].values()} == {*map(host, range(count))}
    for count, (fewer, more) in enumerate(pairwise(found), start=2):
        changed = moved(fewer, more)
        assert changed == {name for name, place in more.items() if place == host(count - 1)}
        assert len(changed) <= len(IMAGES) * 2 / count


@contextmanager
def load(port: int) -> Iterator[list[tuple[str, Answer]]]:
    """Ask for tiles that nobody has asked for before, of all images, all the while."""
    over, answers = threading.Event(), list[tuple[str, Answer]]()

    def run(seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311  # a load that can be repeated
        while not over.is_set():
            target = (
                f"/iiif/3/{draw.choice(IMAGES)}/{draw.randrange(200)},{draw.randrange(200)},200,200/max/0/default.jpg"
            )
            answers.append((target, ask(port, target)))
            time.sleep(0.02)  # what is under test needs the processors

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(run, number) for number in range(CLIENTS)]
        try:
            enough(answers)
            yield answers
        finally:
            over.set()
    assert [client.exception() for client in clients] == [None] * CLIENTS


def enough(answers: Sequence[object]) -> None:
    """Wait for more answers."""
    so_far = len(answers)
    wait_for(lambda: len(answers) > so_far + ENOUGH, "more answers")


def test_one_is_killed_and_one_is_added_under_load(sidecars: Sidecars) -> None:
    """Every answer is 200 and right, also what was under way; no host opens an image that the ring has not given it."""
    first, second = (0, 1, 2), (0, 1, 2, 3)
    opened = [sidecars.misses(number) for number in second]
    with sidecars.nginx(first) as nginx:
        before = places(nginx)
        with load(nginx.port) as answers:
            sidecars.kill()
            enough(answers)
            without = places(nginx)
            rewrite(nginx, sidecars.fleet(second))
            former = nginx.workers()
            nginx.reload()
            wait_for(lambda: not former & nginx.workers(), "nginx has another ring")
            enough(answers)
        after = places(nginx)
    for number in second[1:]:
        own = {name for name in IMAGES if host(number) in (before[name], without[name], after[name])}
        assert sidecars.misses(number) - opened[number] <= len(own)
    assert {answer.status for _, answer in answers} == {200}
    for target, answer in answers[:: len(answers) // ENOUGH]:
        assert ask(sidecars.all[3].port, target).body == answer.body
    assert moved(before, without) == {name for name, place in before.items() if place == host(0)}
    assert {after[name] for name in moved(without, after)} == {host(3)}


@pytest.fixture
def newer_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the nginx in .run, if there is one; skip the test if what there is does not ask for SRV records."""
    monkeypatch.setenv("PATH", f"{REPOSITORY / '.run'}:{os.environ['PATH']}")
    version = subprocess.run([NginxServer.program(), "-v"], capture_output=True, text=True, check=True).stderr
    if [*map(int, re.findall(r"\d+", version))] < [1, 27, 3]:
        pytest.skip(f"SRV records take nginx 1.27.3, and this is {version.strip()}; a newer one may lie in .run")


@pytest.mark.usefixtures("newer_nginx")
def test_a_service_lists_the_hosts(sidecars: Sidecars) -> None:
    """Hosts that a headless Service lists or does not list any more are found without a reload, and move few images."""
    names = {f"sidecar-{number}.sidecar.test": host(number) for number in range(HOSTS)}
    with NameServer("_http._tcp.sidecar.test", sidecars.port) as server:
        server.hosts = dict([*names.items()][:3])
        fleet = Fleet(service="sidecar.test", resolvers=[server.address])
        with sidecars.nginx_for(fleet, {("sidecar.conf", "valid=5s"): "valid=1s"}) as nginx:
            wait_for(
                lambda: ask(nginx.port, "/iiif/3/0.jp2/info.json").status == 200, "nginx has asked for the records"
            )
            three = settled(nginx, 3)
            server.hosts = names
            four = settled(nginx, 4)
            with load(nginx.port) as answers:
                server.hosts = dict([*names.items()][1:])
                settled(nginx, 3)
                enough(answers)
            rest = places(nginx)
    assert {four[name] for name in moved(three, four)} == {host(3)}
    assert len(moved(three, four)) <= len(IMAGES) * 2 / 4
    assert moved(four, rest) == {name for name, place in four.items() if place == host(0)}
    assert {answer.status for _, answer in answers} == {200}


def settled(nginx: Nginx, count: int) -> dict[str, str]:
    """Wait until so many hosts answer."""
    wait_for(lambda: len({*places(nginx).values()}) == count, f"{count} hosts answer")
    return places(nginx)
