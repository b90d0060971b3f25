"""The request's own cost: processor time of small requests, of the worker and of nginx, beside a bare application.

Of pictures that is what decoding and encoding does not take: the same window, decoded and encoded by the same plugins
in one thread of this process. The tile is of a picture that is cheap to decode, or its noise would hide the rest.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load

from sidecar.plugin import Frame, Rect, Size, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import pixels_of
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.rounds import turns
from tests.nginx.peers import HOST
from tests.nginx.servers import REPOSITORY, Nginx, Process, Sidecar, free_port, listening, wait_for

TINY, SMOOTH = "tiny_60x40.jp2", "smooth.jp2"
SIDE: Final = 512
PLACES: Final[Mapping[str, Sequence[Rect]]] = {
    TINY: [Rect(0, 0, 60, 40)],
    SMOOTH: [Rect(x * SIDE, y * SIDE, SIDE, SIDE) for y in range(4) for x in range(4)],
}
"""What is asked for of each image: all of it, and each of its tiles in turn."""
HELLO, INFO, PICTURE, TILE = KINDS = "hello", "info.json", "60x40", "512 tile"
PICTURES: Final[Mapping[str, str]] = {PICTURE: TINY, TILE: SMOOTH}
REQUESTS: Final = int(os.environ.get("COST_REQUESTS", "100"))
"""In each round."""
ROUNDS: Final = int(os.environ.get("COST_ROUNDS", "15"))
MOST: Final[Mapping[str, float]] = {INFO: 1.0, PICTURE: 2.0, TILE: 2.0}
"""Milliseconds of processor time."""
# Each request is answered anew: what was decoded for the last one is not kept.
SETTINGS: Final = 'workers = 1\ndecoded_cache_bytes = 0\n[filesystem]\nroot = "{}"\n'
UPSTREAM: Final = "upstream hello {{ server {host}:{port}; keepalive 32; }}"
LOCATION: Final = 'location /hello { proxy_pass http://hello; proxy_http_version 1.1; proxy_set_header Connection ""; }'


@dataclass(slots=True)
class Taken:
    """Milliseconds of processor time of a request, round by round."""

    worker: list[float] = field(default_factory=list)
    nginx: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    """Of decoding and encoding alone."""

    @property
    def own(self) -> float:
        """The median of what worker and nginx take beside decoding and encoding."""
        rounds = zip(self.worker, self.nginx, self.bare, strict=True)
        return median(worker + nginx - bare for worker, nginx, bare in rounds)


@dataclass(frozen=True, slots=True)
class Servers:
    """What answers."""

    port: int
    """Of nginx."""
    nginx: Sequence[int]
    """Process ids, as are those of the workers."""
    sidecar: Sequence[int]
    hello: Sequence[int]


def run() -> Report:
    """Ask for each kind in turn."""
    taken = {kind: Taken() for kind in KINDS}
    with tempfile.TemporaryDirectory() as home:
        images = pictures(Path(home))
        bare = {kind: bare_picture(images / name) for kind, name in PICTURES.items()}
        with served(Path(home), images) as servers:
            for turn, kind in turns(KINDS, ROUNDS + 1):
                measure(servers, kind, taken[kind] if turn else Taken(), bare.get(kind))
    return Report(
        "The request's own cost",
        ("processor time, ms", "worker", "nginx", "decode, encode", "own"),
        [(kind, median(each.worker), median(each.nginx), median(each.bare), each.own) for kind, each in taken.items()],
        Chart("ms", KINDS, {"own processor time": [taken[kind].own for kind in KINDS]}),
        [Must(kind, taken[kind].own, most, " ms") for kind, most in MOST.items()],
        [
            f"Medians of {ROUNDS} rounds of {REQUESTS} requests, one after the other on a connection through nginx.",
            "Hello: Falcon, gunicorn and gevent, and nothing in them. Own: worker and nginx less decoding, encoding.",
        ],
    )


def pictures(home: Path) -> Path:
    """Make a folder with the two pictures: one from the tests, and one that is smooth, in tiles."""
    folder = home / "images"
    folder.mkdir()
    shutil.copy(REPOSITORY / "tests" / "data" / "images" / TINY, folder)
    slope = np.linspace(0, 255, 4 * SIDE).astype(np.uint8)
    across, down = np.meshgrid(slope, slope)
    smooth = Image.fromarray(np.dstack([across, down, across[::-1]]))
    smooth.save(folder / SMOOTH, tile_size=(SIDE, SIDE), irreversible=True, quality_mode="rates", quality_layers=[200])
    return folder


def url(kind: str, number: int) -> str:
    """Return the path of a request."""
    if kind == HELLO:
        return "/hello"
    if kind == INFO:
        return f"/iiif/3/{SMOOTH}/info.json"
    places = PLACES[PICTURES[kind]]
    at = places[number % len(places)]
    return f"/iiif/3/{PICTURES[kind]}/{at.x},{at.y},{at.width},{at.height}/{at.width},{at.height}/0/default.jpg"


def measure(servers: Servers, kind: str, taken: Taken, bare: Callable[[int], object] | None) -> None:
    """Ask for one kind for a round, and then do what decoding and encoding takes as often."""
    workers = servers.hello if kind == HELLO else servers.sidecar
    client = HTTPConnection(HOST, servers.port, timeout=60)
    before = used(workers), used(servers.nginx)
    for number in range(REQUESTS):
        client.request("GET", url(kind, number))
        response = client.getresponse()
        response.read()
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"status {response.status} for {url(kind, number)}")
    taken.worker.append((used(workers) - before[0]) / REQUESTS)
    taken.nginx.append((used(servers.nginx) - before[1]) / REQUESTS)
    taken.bare.append(timed(bare) if bare else 0.0)
    client.close()


def used(pids: Sequence[int]) -> float:
    """Milliseconds of a processor that processes have used so far, by their clocks (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in pids) / 1e6


def timed(call: Callable[[int], object]) -> float:
    """Milliseconds of processor time that a call takes in this thread."""
    before = time.thread_time_ns()
    for number in range(REQUESTS):
        call(number)
    return (time.thread_time_ns() - before) / 1e6 / REQUESTS


def bare_picture(path: Path) -> Callable[[int], bytes]:
    """What decodes and encodes the places of a picture, with nothing around it."""
    blob, places = on_disk(path), PLACES[path.name]
    extractors = partial(IndexedExtractor, IndexCache(run_inline, 1 << 28))
    reader = Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(blob)
    factory = JpegFactory(settings := JpegSettings(), load(settings.library))

    def picture(number: int) -> bytes:
        region = places[number % len(places)]
        window = reader.tolerant_window(0, region, tolerance=factory.tolerance)
        encoder = factory.start(Frame(size=Size(region.width, region.height), channels=3))
        return encoder.write(pixels_of(reader, window, blob.read(window.ranges))) + encoder.finish()

    return picture


@contextmanager
def served(home: Path, images: Path) -> Iterator[Servers]:
    """A sidecar with one worker and a bare application, both behind one nginx."""
    with ExitStack() as stack:
        (home / "sidecar").mkdir()
        sidecar = Sidecar(home / "sidecar", SETTINGS.format(images))
        stack.callback(sidecar.stop)
        port, hello = start_hello(home, stack)
        include = {"http": UPSTREAM.format(host=HOST, port=port), "server": LOCATION}
        nginx = stack.enter_context(Nginx(home / "nginx", sidecar.port, free_port(), include=include))
        yield Servers(nginx.port, children(nginx.process.pid), sidecar.workers(), children(hello.pid))


def start_hello(home: Path, stack: ExitStack) -> tuple[int, Process]:
    """Start the bare application; return its port, and its master."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--keep-alive", "6"]
    hello = Process([*command, "--bind", f"{HOST}:{port}", "tests.benchmarks.hello:app"], home / "hello.log")
    stack.callback(hello.stop, signal.SIGTERM)
    wait_for(lambda: listening(port) and bool(children(hello.pid)), "the bare application listens")
    return port, hello


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
