"""`sidecar serve` with one worker: whole pictures with their memory, and tiles beside a bare script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import turbojpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_turbojpeg.settings import JpegSettings

from sidecar.plugin import Rect, Size
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report, Row
from tests.benchmarks.plain import plain_reader
from tests.benchmarks.processes import Memory
from tests.benchmarks.rounds import Times, interleaved, milliseconds, ratio
from tests.nginx.peers import HOST
from tests.nginx.servers import Sidecar

WHOLE = "full/max/0/default.jpg"
SCALES = (1, 4)
SIDE = 512
ROUNDS, ROUNDS_WHOLE = 15, 3
MEGABYTES = 200
"""That the worker may grow by for the whole of a tiled picture."""
PATIENCE = 900.0
PIECE = 1 << 16
SAMPLING = {"4:2:0": turbojpeg.TJSAMP_420, "4:2:2": turbojpeg.TJSAMP_422, "4:4:4": turbojpeg.TJSAMP_444}


class Client:
    """One kept connection to a sidecar."""

    def __init__(self, port: int, name: str) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=PATIENCE)
        self._name = name

    def get(self, words: str) -> tuple[float, float]:
        """Seconds to the first byte of an answer's body, and to its last."""
        begin = perf_counter()
        self._connection.request("GET", f"/iiif/3/{self._name}/{words}")
        response = self._connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"status {response.status} for {self._name}/{words}")
        response.read(1)
        first = perf_counter() - begin
        while response.read(PIECE):
            pass
        return first, perf_counter() - begin

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Case:
    """What a worker did with one picture."""

    path: Path
    whole: Sequence[tuple[float, float]]
    """Seconds to first and last byte, of each round."""
    grown: int
    """Bytes above idle at its peak."""
    tiles: dict[int, Times]
    """By scale: `sidecar` and `bare`."""

    @property
    def name(self) -> str:
        """What picture it is."""
        return files.label(self.path)


def run() -> Report:
    """Measure all pictures, each with a worker of its own."""
    bind()
    cases = [measure(path) for path in files.pictures()]
    return Report(
        "One worker of `sidecar serve` on loopback",
        ("", "first byte, ms", "last byte, ms", "bare script, ms", "ratio", "memory above idle, MB"),
        [row for case in cases for row in rows(case)],
        Chart(
            "ms to a tile's last byte",
            [f"{case.name}, 1:{scale}" for case in cases for scale in SCALES],
            {
                "sidecar": [milliseconds(times, "sidecar") for case in cases for times in case.tiles.values()],
                "bare decode and encode": [
                    milliseconds(times, "bare") for case in cases for times in case.tiles.values()
                ],
            },
        ),
        [must for case in cases for must in musts(case)],
        [
            "Bare: glymur's `jp2[y0:y1, x0:x1]`, opened before, and PyTurboJPEG, in one thread of another process.",
            "Memory: VmHWM since before the first whole picture less VmRSS then, tiles of it asked for before.",
        ],
    )


def rows(case: Case) -> Iterator[Row]:
    """A line for the whole, and one for tiles of each scale."""
    first, last = (median(column) * 1000 for column in zip(*case.whole, strict=True))
    yield f"{case.name}, full/max", first, last, "", "", case.grown / 1e6
    for scale, times in case.tiles.items():
        bare = (milliseconds(times, "bare"), ratio(times, "sidecar", "bare"))
        yield f"{case.name}, 512 tile at 1:{scale}", "", milliseconds(times, "sidecar"), *bare, ""


def musts(case: Case) -> Iterator[Must]:
    """What has to hold of a case."""
    if case.path.name in files.IN_TILES:
        yield Must(f"{case.name}: memory above idle", case.grown / 1e6, MEGABYTES, " MB")
    for scale, times in case.tiles.items():
        yield Must(f"{case.name}: tile at 1:{scale} against bare", ratio(times, "sidecar", "bare"), 1.0)


def measure(path: Path) -> Case:
    """Ask a new worker for tiles, then for the whole."""
    with served(path) as (sidecar, client):
        tiles = {scale: compare_tiles(client, path, scale) for scale in SCALES}
        memory = Memory(sidecar.workers()[0])
        memory.begin()
        whole = [client.get(WHOLE) for _ in range(ROUNDS_WHOLE)]
        return Case(path, whole, memory.grown(), tiles)


@contextmanager
def served(path: Path) -> Iterator[tuple[Sidecar, Client]]:
    """A sidecar with one worker, and a connection to it."""
    folder = files.BENCH / "serve"
    folder.mkdir(parents=True, exist_ok=True)
    sidecar = Sidecar(folder, f'workers = 1\nlog_level = "warning"\n[filesystem]\nroot = "{path.parent}"\n')
    client = Client(sidecar.port, path.name)
    try:
        yield sidecar, client
    finally:
        client.close()
        sidecar.stop()


def compare_tiles(client: Client, path: Path, scale: int) -> Times:
    """Tiles of the sidecar and of a script, in turn; each is asked for the first time."""
    read = plain_reader(path, scale)
    encode = encoder()
    places = tiles(read.size, scale)
    return interleaved(
        {
            "sidecar": lambda turn: client.get(words(places[turn], scale)),
            "bare": lambda turn: encode(read(places[turn])),
        },
        ROUNDS,
    )


def tiles(size: Size, scale: int) -> Sequence[Rect]:
    """A tile of a level for each round, on a viewer's grid, no two the same."""
    across, down = size.width // scale // SIDE, size.height // scale // SIDE
    chosen = np.random.default_rng(scale).choice(across * down, ROUNDS + 1, replace=across * down <= ROUNDS)
    return [Rect(int(place) % across * SIDE, int(place) // across * SIDE, SIDE, SIDE) for place in chosen]


def words(tile: Rect, scale: int) -> str:
    """The tile as a viewer asks for it."""
    region = ",".join(str(edge * scale) for edge in (tile.x, tile.y, tile.width, tile.height))
    return f"{region}/{tile.width},{tile.height}/0/default.jpg"


def encoder() -> Callable[[object], object]:
    """PyTurboJPEG, set as the plugin is by default."""
    bare, settings = turbojpeg.TurboJPEG(), JpegSettings()
    return lambda pixels: bare.encode(pixels, settings.quality, turbojpeg.TJPF_RGB, SAMPLING[settings.subsampling])
