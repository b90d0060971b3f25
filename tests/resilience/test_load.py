"""Things break under load: no wrong pixel, no cut response that looks whole, no client without one, nothing kept."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest

from sidecar.testing.object_store import ObjectStore, Reply, Request
from tests.nginx.peers import ask
from tests.nginx.servers import wait_for
from tests.resilience.known_answers import JP2S, SLIDE, TILES, WHOLES, Question, truths
from tests.resilience.load_clients import Crowd, Tally, Verdict
from tests.resilience.site import Site, cantaloupes

SETTINGS = """
log_level = "warning"
[openslide]
suffixes = ["svs"]
[s3]
bucket = "far"
endpoint = "{url}"
anonymous = true
timeout = 1.5
stall_timeout = 0.5
attempts = 2
freshness = 0
cache_bytes = 0
"""
FAR = "faraway.jp2"
SILENCE = 1.0
"""Seconds: longer than anybody waits for the store."""
TILE_URLS = [question.target for question in TILES]
WHOLE_URLS = [question.target for question in WHOLES]


@dataclass(frozen=True)
class Stage:
    """Everything that the tests break."""

    site: Site
    folder: Path
    """That is served."""
    store: ObjectStore
    truths: dict[str, bytes]


@pytest.fixture(scope="module")
def stage(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Yield the servers and the right responses."""
    home = tmp_path_factory.mktemp("resilience")
    folder = home / "images"
    (folder / "bad_disk").mkdir(parents=True)
    for name in (*JP2S, SLIDE):
        shutil.copy(images / name, folder)
    shutil.copy(images / JP2S[0], folder / "bad_disk")
    with pytest.MonkeyPatch.context() as patch, ObjectStore({f"far/{FAR}": (images / JP2S[0]).read_bytes()}) as store:
        patch.setenv("PYTHONPATH", str(plugin(home)))
        with Site(home / "site", folder, SETTINGS.format(url=store.url)) as site:
            yield Stage(site, folder, store, truths(site, folder, [*TILES, *WHOLES, Question(JP2S[1])]))


def plugin(home: Path) -> Path:
    """Return a folder for PYTHONPATH with the plugin that makes the disk fail."""
    described = home / "plugins" / "failing_disk-1.dist-info"
    described.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("failing_disk.py"), home / "plugins")
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: failing_disk\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[sidecar]\nfailing_disk = failing_disk\n")
    return home / "plugins"


@contextmanager
def load(stage: Stage) -> Iterator[Tally]:
    """Run three clients for tiles, one for whole images, one that leaves; afterwards check that nothing was wrong."""
    crowd = Crowd(stage.site.port, stage.truths)
    with crowd.asking(TILE_URLS, TILE_URLS, TILE_URLS, WHOLE_URLS, leaving=WHOLE_URLS) as tally:
        yield tally
        wait_for(lambda: tally.verdicts[Verdict.RIGHT] > 10 and tally.left > 0, "each client has had a turn")
    assert not tally.wrong
    assert not tally.unanswered
    stage.site.rests()


@contextmanager
def nothing_stays_open(stage: Stage) -> Iterator[None]:
    """Check that the same processes have the same file descriptors afterwards."""
    for target in TILE_URLS * 2:
        ask(stage.site.port, target)  # each worker has seen everything once
    before = settled(stage)
    yield
    with suppress(AssertionError):
        wait_for(lambda: not opened(stage) - before, "no file descriptor is left open")
    assert not opened(stage) - before
    # Slides stay open as long as their readers are kept for the next request.
    slides = [name for names in stage.site.descriptors().values() for name in names if name.endswith(SLIDE)]
    assert len(slides) <= stage.site.sidecar.metric("sidecar_readers_idle")


def settled(stage: Stage) -> Counter[str]:
    """The file descriptors once idle connections are closed."""
    found = [opened(stage)]

    def unchanged() -> bool:
        time.sleep(0.6)
        found.append(opened(stage))
        return found[-1] == found[-2]

    wait_for(unchanged, "connections are closed")
    return found[-1]


def opened(stage: Stage) -> Counter[str]:
    """What all processes together have open, but for slides and their folder, connections to the store, and metrics.

    prometheus_client opens a file for each kind of metric when the first of its kind is made, and keeps it.
    """
    every = (name for names in stage.site.descriptors().values() for name in names)
    found = Counter(name for name in every if not name.endswith((".db", SLIDE, f"/{stage.folder.name}")))
    found["socket"] -= len(stage.store.connections)
    return found


def replaced(site: Site, before: Sequence[int]) -> bool:
    """Whether there is a worker that was not there before."""
    return bool({*site.sidecar.workers()} - {*before})


def test_workers_are_killed(stage: Stage) -> None:
    """Workers are killed every second under load: responses break visibly, and clients that retry get a whole one."""
    site = stage.site
    with load(stage) as tally:
        for turn in range(4):
            time.sleep(1)
            before = site.sidecar.workers()
            for worker in before[: 2 if turn == 2 else 1]:
                os.kill(worker, signal.SIGKILL)
            wait_for(partial(replaced, site, before), "a new worker")
        wait_for(lambda: site.sidecar.serves(2), "two workers")
    wait_for(lambda: site.sidecar.metric("sidecar_permits_bytes_in_use") == 0, "killed workers hold nothing")
    assert tally.verdicts[Verdict.RIGHT] > tally.verdicts[Verdict.BROKEN]


def test_the_stand_in_is_down(stage: Stage) -> None:
    """While Cantaloupe is down, the sidecar answers its own requests as before, and the rest fail at once."""
    site, missing = stage.site, "/iiif/3/missing.jp2/info.json"
    with nothing_stays_open(stage):
        site.cantaloupe_is_up = False
        with load(stage) as tally:
            others = [ask(site.port, missing) for _ in range(20)]
            time.sleep(2)
        site.cantaloupe_is_up = True
        assert {answer.status for answer in others} == {502}
        assert set(tally.verdicts) == {Verdict.RIGHT}
        assert ask(site.port, missing).body == cantaloupes(missing)


def test_the_source_stalls(stage: Stage) -> None:
    """A store that is silent, breaks off or changes affects its own images alone."""
    site, store = stage.site, stage.store
    target = f"/iiif/3/{FAR}/0,0,256,256/max/0/default.png"
    truth = stage.truths[TILE_URLS[0]]
    # With so little patience, a store on a busy machine may be late at times.
    wait_for(lambda: ask(site.port, target).body == truth, "the store is well")
    silent: Callable[[Request, Reply], Reply] = lambda _, reply: replace(reply, stall=SILENCE)  # noqa: E731
    tricks: list[Callable[[Request, Reply], Reply]] = [
        silent,
        lambda _, reply: replace(reply, cut=len(reply.body) // 2),
        lambda _, reply: replace(reply, cut=100, stall=SILENCE),
        lambda _, __: Reply(503),
        lambda _, reply: replace(reply, headers={**reply.headers, "ETag": '"another"'}, body=bytes(len(reply.body))),
    ]
    with nothing_stays_open(stage), load(stage) as tally:
        for trick in tricks:
            store.mischief = trick
            told = [ask(site.port, target) for _ in range(2)]
            assert all(answer.body in (truth, cantaloupes(target)) for answer in told)
        store.mischief = lambda _, reply: reply
    assert set(tally.verdicts) == {Verdict.RIGHT}
    wait_for(lambda: ask(site.port, target).body == truth, "the store is well again")


def test_the_disk_fails(stage: Stage) -> None:
    """A file that cannot be read (EIO) is handed over; once the disk works again, it is answered."""
    site = stage.site
    names = [Question("bad_disk%2F" + JP2S[0]), replace(TILES[0], name="bad_disk%2F" + JP2S[0])]
    rights = [stage.truths[WHOLE_URLS[0]], stage.truths[TILE_URLS[0]]]
    with nothing_stays_open(stage), load(stage) as tally:
        assert ask(site.port, names[0].target).body == rights[0]
        # The tile is asked for while the disk fails first: pixels that have just been decoded need no disk.
        for question, right in zip(names, rights, strict=True):
            (stage.folder / "bad_disk" / "failing").touch()
            assert ask(site.port, question.target).body == cantaloupes(question.target)
            (stage.folder / "bad_disk" / "failing").unlink()
            assert ask(site.port, question.target).body == right
    assert set(tally.verdicts) == {Verdict.RIGHT}


def test_files_change_under_way(stage: Stage, images: Path) -> None:
    """A file that is cut, emptied, removed and replaced under requests is shown in one of its states or not at all."""
    path = stage.folder / "changing.jp2"
    contents = [(images / name).read_bytes() for name in JP2S[:2]]
    rights = {
        replace(question, name=path.name).target: [
            stage.truths[replace(question, name=name).target] for name in JP2S[:2]
        ]
        for question in (WHOLES[0], TILES[1])
    }
    over, seen = threading.Event(), Counter[str]()

    def look() -> None:
        while not over.is_set():
            seen.update(shown(stage.site.port, url, right) for url, right in rights.items())

    with nothing_stays_open(stage), load(stage) as tally:
        looking = threading.Thread(target=look)
        looking.start()
        for turn in range(60):
            path.write_bytes(contents[turn % 2])
            time.sleep(0.4)
            os.truncate(path, (len(contents[turn % 2]) // 2, 0, 90)[turn % 3])
            time.sleep(0.1)
            fresh = path.with_suffix(".new")
            fresh.write_bytes(contents[(turn + 1) % 2])
            fresh.replace(path)
            time.sleep(0.4)
            path.unlink()
            if turn >= 7 and seen["right"] and len(seen) > 1:
                break
        over.set()
        looking.join()
    assert set(tally.verdicts) == {Verdict.RIGHT}
    assert seen["right"]
    assert len(seen) > 1
    assert not seen["wrong"]
    path.write_bytes(contents[0])
    assert (
        shown(stage.site.port, WHOLES[0].target.replace(JP2S[0], path.name), [stage.truths[WHOLE_URLS[0]]]) == "right"
    )


def shown(port: int, target: str, rights: Sequence[bytes]) -> str:
    """Return in a word what a response is."""
    try:
        answer = ask(port, target)
    except (OSError, HTTPException):
        return "broken"
    if answer.status != 200:
        return str(answer.status)
    if answer.body == cantaloupes(target):
        return "handed over"
    return "right" if answer.body in rights else "wrong"
