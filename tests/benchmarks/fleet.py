"""Four sidecars on one far object store behind nginx, against one, and with images scattered; one dies and comes back.

On a machine with few processors this shows what several cost, not how fast they are: the bytes that a tile takes, the
requests, the rounds of waiting, and how often what was known of an image was found again.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Final

from sidecar.testing.object_store import Content, Link, ObjectStore, Reply, Request, honest
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report, Row
from tests.benchmarks.gathering import processor_seconds
from tests.benchmarks.link import Asked, rounds_of_waiting
from tests.benchmarks.processes import LATENCY, MBITS
from tests.benchmarks.sessions import CONNECTIONS, Viewer, views
from tests.nginx.fleet import BUCKET, Sidecars, answered_by, host
from tests.nginx.peers import ask
from tests.nginx.servers import Nginx

ROUNDS: Final = int(os.environ.get("FLEET_ROUNDS", "3"))
IMAGES: Final = 8
VIEWERS: Final = 4
TILES: Final = 12
"""Of each viewer in a round."""
SIZE: Final = (files.EIGHTY.width, files.EIGHTY.height)
CACHES: Final = ("readers", "jp2_indexes", "blocks")
SINGLY: Final = 24
"""Tiles that are asked for one after the other, to count rounds."""
_SINGLY: Final = 1000
"""Beyond the seeds of sessions, and again when one has died, so that other tiles are asked for."""
HOSTS: Final = 4
MORE: Final = 'log_level = "warning"'
SCATTERED_SITE: Final = {("sidecar.conf", "    hash $sidecar_image consistent;\n"): ""}
ONE, HASHED, SCATTERED = "one", "four, an image is one's", "four, scattered"
KILLED, ADDED = "four, one is killed", "four, it is back"
_COUNTED: Final = re.compile(
    r"^(sidecar_cache_lookups_total|sidecar_fetched_bytes_total)\{(.*)\} ([0-9.e+]+)$", re.MULTILINE
)
Counts = Mapping[int, Mapping[str, float]]
"""What each sidecar has done so far, by the process id of its master."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the viewers of a round got, and what it took."""

    tiles: int
    lost: int
    took: float
    requests: int
    """At the store."""
    spent: Mapping[str, float]
    """What all sidecars did, but for the last of one that died."""


class Site:
    """Sidecars, and an nginx in front."""

    def __init__(self, sidecars: Sidecars, nginx: Nginx, store: ObjectStore) -> None:
        self.sidecars, self.port, self._store = sidecars, nginx.port, store

    def counts(self) -> Counts:
        """What those that run have done so far."""
        return {sidecar.process.pid: counted(sidecar.port) for sidecar in self.sidecars.running}

    def play(self, seed: int, meanwhile: Callable[[], None] = lambda: None) -> Round:
        """Let all viewers look at once, each at an image, in sessions that no other round has."""
        viewers = [Viewer(self.port, name(seed + number)) for number in range(VIEWERS)]
        asked = len(self._store.requests)
        with ThreadPoolExecutor(VIEWERS) as pool:
            before, began = self.counts(), time.perf_counter()
            seen = [pool.submit(look, viewer, seed * VIEWERS + number) for number, viewer in enumerate(viewers)]
            meanwhile()
            got = [one for each in seen for one in each.result()]
            took = time.perf_counter() - began
        for viewer in viewers:
            viewer.close()
        requests = len(self._store.requests) - asked
        return Round(len(got), got.count(False), took, requests, difference(self.counts(), before))

    def rounds(self, seed: int) -> float:
        """How often a tile waits for the store, one after the other: the mean over some that are asked for singly."""
        waited = []
        with noted(self._store) as requests:
            for number in range(SINGLY):
                viewer = Viewer(self.port, name(number))
                words = [words for view in views(SIZE, seed + number, TILES) for words in view][-1]
                requests.clear()
                viewer.get(words)
                waited.append(rounds_of_waiting(requests))
                viewer.close()
        return mean(waited)


def counted(port: int) -> Mapping[str, float]:
    """What a sidecar has done so far: its look-ups by cache and result, the bytes it fetched, its processor time."""
    found: dict[str, float] = defaultdict(float)
    for metric, labels, value in _COUNTED.findall(ask(port, "/sidecar/metrics").text):
        cache = re.findall(r'(?:cache|result)="(\w+)"', labels)
        found[" ".join(cache) if cache else metric] += float(value)
    return {**found, "processor": processor_seconds(port)}


def difference(after: Counts, before: Counts) -> Mapping[str, float]:
    """What was done between, by all together."""
    found: dict[str, float] = defaultdict(float)
    for sidecar, numbers in after.items():
        for name, number in numbers.items():
            found[name] += number - before.get(sidecar, {}).get(name, 0)
    return found


@contextmanager
def noted(store: ObjectStore) -> Iterator[list[Asked]]:
    """Note what the store is asked for, and when."""
    requests: list[Asked] = []

    def note(_: Request, reply: Reply) -> Reply:
        now = time.perf_counter()
        requests.append(Asked(now - store.link.latency, now, len(reply.body)))
        return reply

    store.mischief = note
    yield requests
    store.mischief = honest


def look(viewer: Viewer, seed: int) -> list[bool]:
    """Play a session, each viewport complete before the next; whether each tile came."""

    def got(words: str) -> bool:
        try:
            return bool(viewer.get(words))
        except (RuntimeError, OSError):
            return False

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [came for view in views(SIZE, seed, TILES) for came in pool.map(got, view)]


def name(number: int) -> str:
    """One of the images."""
    return f"{number % IMAGES}.jp2"


def run() -> Report:
    """Measure each site alone, from the first tile on; then one of four dies, and comes back.

    Alone, since a sidecar goes on learning when nobody asks it anything, which takes a processor from the others.
    """
    body = Content(files.tiled().read_bytes())
    store = ObjectStore(
        {f"{BUCKET}/{name(number)}": body for number in range(IMAGES)}, link=Link(LATENCY / 1000, MBITS * 1e6 / 8)
    )
    played: dict[str, list[Round]] = {}
    lines: list[Row] = []
    opened = 0.0
    with store, tempfile.TemporaryDirectory() as home:
        for label in (ONE, SCATTERED, HASHED):
            with ExitStack() as alone:
                site = start(alone, Path(home) / label, store, label)
                played[label] = [site.play(turn) for turn in range(ROUNDS)]
                if label == HASHED:
                    opened = sum(each.get("readers miss", 0) for each in site.counts().values())
                lines.append(row(label, played[label], site.rounds(_SINGLY)))
                for turn, (event, happens) in enumerate(events(site) if label == HASHED else (), start=ROUNDS):
                    played[event] = [site.play(turn, happens)]
                    lines.append(row(event, played[event], site.rounds(_SINGLY * turn)))
        for label, rounds in played.items():
            say(label, rounds)
    return Report(
        f"{VIEWERS} viewers, {IMAGES} images of 80 MP on one store, {LATENCY} ms and {MBITS} Mbit/s away",
        ("", "tiles/s", "processor, ms a tile", "KB a tile", "requests a tile", "rounds, singly", *CACHES, "lost"),
        lines,
        Chart("KB a tile", [*played], {"fetched": [fetched(rounds) for rounds in played.values()]}),
        [
            *(Must(f"{label}: tiles lost", sum(each.lost for each in rounds), 0) for label, rounds in played.items()),
            Must("four, an image is one's: images opened", opened, IMAGES),
            Must(
                "its bytes of a tile to those of one sidecar",
                fetched(played[HASHED]) / fetched(played[ONE]),
                1.2,
            ),
        ],
        [
            f"All on {len(os.sched_getaffinity(0))} processors, store and viewers too: compare costs, not speed.",
            "Nothing is known of any image at first. Of caches: what was looked up and was there, and what was not.",
        ],
    )


def events(site: Site) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what happens to a site in a round each: a sidecar dies whose images are looked at, and comes back."""
    owner = answered_by(ask(site.port, f"/iiif/3/{name(ROUNDS)}/info.json"))
    yield KILLED, partial(site.sidecars.kill, [*map(host, range(HOSTS))].index(owner))
    yield ADDED, site.sidecars.revive


def start(stack: ExitStack, home: Path, store: ObjectStore, label: str) -> Site:
    """Start some sidecars, and their nginx."""
    home.mkdir()
    count = 1 if label == ONE else HOSTS
    sidecars = stack.enter_context(Sidecars(home, store.url, count, more=MORE))
    nginx = sidecars.nginx(range(count), SCATTERED_SITE if label == SCATTERED else {})
    return Site(sidecars, stack.enter_context(nginx), store)


def say(label: str, rounds: Sequence[Round]) -> None:
    """Tell how each round went."""
    speeds = ", ".join(f"{each.tiles / each.took:.1f}" for each in rounds)
    files.say(f"  {label}: {speeds} tiles/s, {fetched(rounds):.0f} KB a tile")


def fetched(rounds: Sequence[Round]) -> float:
    """KB that a tile took."""
    return sum(each.spent["sidecar_fetched_bytes_total"] for each in rounds) / tiles(rounds) / 1000


def tiles(rounds: Sequence[Round]) -> int:
    """How many tiles came."""
    return sum(each.tiles for each in rounds)


def row(label: str, rounds: Sequence[Round], singly: float) -> Row:
    """A line of the table."""
    return (
        label,
        tiles(rounds) / sum(each.took for each in rounds),
        sum(each.spent["processor"] for each in rounds) / tiles(rounds) * 1000,
        fetched(rounds),
        sum(each.requests for each in rounds) / tiles(rounds),
        singly,
        *(found(rounds, cache) for cache in CACHES),
        sum(each.lost for each in rounds),
    )


def found(rounds: Sequence[Round], cache: str) -> str:
    """The part of what was looked up in a cache that was there."""
    hits, misses = (sum(each.spent.get(f"{cache} {result}", 0) for each in rounds) for result in ("hit", "miss"))
    return f"{hits / (hits + misses):.1%} ({misses:.0f} missed)" if hits + misses else "-"
