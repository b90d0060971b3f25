"""Windows of 512² of one picture as HTJ2K by OpenJPH and as JPEG 2000 by OpenJPEG, tiled and in one tile."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_htj2k.stages import Stage
from sidecar_htj2k.testing import Packing, encode, repack
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind

from sidecar.plugin import ImageReader, Size, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import pixels_of
from tests.benchmarks import files, photograph
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.rounds import Times, interleaved, milliseconds, ratio
from tests.benchmarks.tiles import ROUNDS, fetched, level_of, windows

SCALES = (1, 4)
FASTER = 1 / 3
"""The time of a window against JPEG 2000 that must not be exceeded. Few bits a pixel miss it (README of the plugin)."""
SIZE = Size(8192, 4096)
STEP = 1 / 100
"""The quantization at which HTJ2K takes about as many bytes as `files.LOSSY`."""
PRECINCTS = ((7, 7), (8, 8))
TILE = 1024
LABELS = {None: "one tile", TILE: "tiles"}
LOSSY = ("-I", "-r", "8")
"""What `files.LOSSY` begins with, left out of lossless pictures."""


@dataclass(frozen=True, slots=True)
class Case:
    """Windows of one level of one picture in both formats, measured."""

    name: str
    times: Times
    """Of `plain` and `ht`."""
    sizes: tuple[float, float]
    """Bytes of both files."""
    stages: float


def run() -> Report:
    """Measure both pictures at both scales."""
    cases = [
        measure(f"{LABELS[tile]}, {'lossless' if exact else '3 bits'}, 1:{scale}", tile, scale, exact=exact)
        for tile in LABELS
        for exact in (True, False)
        for scale in SCALES
    ]
    return Report(
        "HTJ2K beside JPEG 2000",
        ("512² of", "JPEG 2000, ms", "HTJ2K, ms", "ratio", "stages", "JPEG 2000, MB", "HTJ2K, MB"),
        [
            (
                case.name,
                milliseconds(case.times, "plain"),
                milliseconds(case.times, "ht"),
                ratio(case.times, "ht", "plain"),
                case.stages,
                case.sizes[0] / 1e6,
                case.sizes[1] / 1e6,
            )
            for case in cases
        ],
        Chart(
            "ms",
            [case.name for case in cases],
            {
                "JPEG 2000, OpenJPEG": [milliseconds(case.times, "plain") for case in cases],
                "HTJ2K, OpenJPH": [milliseconds(case.times, "ht") for case in cases],
            },
        ),
        [Must(f"{case.name}: time against JPEG 2000", ratio(case.times, "ht", "plain"), FASTER) for case in cases],
        ["Both through their readers with packet indexes; finding out what to read and reading it included."],
    )


def measure(name: str, tile: int | None, scale: int, *, exact: bool) -> Case:
    """Read the same windows of both files, in turn."""
    plain, high_throughput = _jpeg2000(tile, exact=exact), _htj2k(tile, exact=exact)
    indexes = IndexCache(run_inline, 1 << 28)
    blobs = {"plain": on_disk(plain), "ht": on_disk(high_throughput)}
    high = Htj2kDecoder(OpenJph(load()), IndexCache(run_inline, 1 << 28)).open(blobs["ht"])
    readers: dict[str, ImageReader[Any]] = {
        "plain": Jp2Decoder(OpenJpeg(bind()), extractors=partial(IndexedExtractor, indexes)).open(blobs["plain"]),
        "ht": high,
    }
    level = level_of(high, scale)
    places = windows(high, level)

    def read(which: str, turn: int) -> None:
        pixels_of(readers[which], *fetched(readers[which], blobs[which], level, places[turn]))

    times = interleaved({which: partial(read, which) for which in readers}, ROUNDS)
    stages = median(sum(map(_depth, high.window(level, place).stages)) for place in places)
    return Case(name, times, (plain.stat().st_size, high_throughput.stat().st_size), stages)


def _depth(stage: Stage | None) -> int:
    return 1 + _depth(stage.base) if stage else 0


def _jpeg2000(tile: int | None, *, exact: bool) -> Path:
    """Return the picture as `opj_compress` makes it."""
    options: tuple[str, ...] = files.TILES if tile else files.ONE_TILE
    options = options[len(LOSSY) :] if exact else options

    def make(path: Path) -> None:
        drawn = path.with_suffix(".ppm")
        photograph.write(drawn, SIZE)
        try:
            subprocess.run(
                ["opj_compress", "-i", str(drawn), "-o", str(path), *options], check=True, capture_output=True
            )
        finally:
            drawn.unlink()

    return _made(f"{_name(tile, exact=exact)}.jp2", make)


def _htj2k(tile: int | None, *, exact: bool) -> Path:
    """Return the picture as OpenJPH makes it, with precincts and packet lengths."""

    def make(path: Path) -> None:
        pixels = np.concatenate([*photograph.strips(SIZE)])
        options: dict[str, Any] = {"tile": (tile, tile)} if tile else {}
        options |= {} if exact else {"level": STEP}
        coded = encode(pixels, levels=7, reversible=exact, **options)
        path.write_bytes(repack(coded, Packing(precincts=PRECINCTS)))

    return _made(f"{_name(tile, exact=exact)}.j2c", make)


def _name(tile: int | None, *, exact: bool) -> str:
    return f"htj2k_{'tiled' if tile else 'single'}_{'lossless' if exact else 'lossy'}"


def _made(name: str, make: Callable[[Path], None]) -> Path:
    path = files.FILES / name
    if not path.exists():
        files.FILES.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f"part-{name}")
        files.say(f"Making {path}, once")
        make(half)
        half.rename(path)
    return path
