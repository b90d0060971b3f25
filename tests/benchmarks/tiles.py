"""Windows of 512² from a local file: plain OpenJPEG against the reader with its packet index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.windows import Jp2Window

from sidecar.plugin import Blob, Buffer, ImageReader, Pixels, Rect, Window, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import pixels_of
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.plain import plain_reader
from tests.benchmarks.rounds import Times, interleaved, milliseconds, ratio

SIDE = 512
SCALES = (1, 4, 16, 64)
ROUNDS = 15
SLOWER = 1.05
LONG, SHORT = 5.0, 1.0
"""Milliseconds to find out what to read and to put the small codestream together; the latter where ranges are few.

Of small views of very many tiles it is only stated.
"""
FEW, MANY = 10, 100


@dataclass(frozen=True, slots=True)
class Case:
    """Windows of one level of one file, measured."""

    name: str
    times: Times
    """Of `plain`, of `small`, and of `building` the small codestream, which `small` includes."""
    size: float
    """Bytes of the file read for a window."""
    ranges: float


def run() -> Report:
    """Measure all levels of all files."""
    cases = [measure(path, scale) for path in files.pictures() for scale in SCALES]
    return Report(
        "Tile windows of local files",
        ("512² of", "plain, ms", "packet index, ms", "ratio", "building, ms", "ranges", "read, MB"),
        [
            (
                case.name,
                milliseconds(case.times, "plain"),
                milliseconds(case.times, "small"),
                ratio(case.times, "small", "plain"),
                milliseconds(case.times, "building"),
                int(case.ranges),
                case.size / 1e6,
            )
            for case in cases
        ],
        Chart(
            "ms",
            [case.name for case in cases],
            {
                "plain OpenJPEG": [milliseconds(case.times, "plain") for case in cases],
                "packet index": [milliseconds(case.times, "small") for case in cases],
            },
        ),
        [must for case in cases for must in musts(case)],
        ["Plain: glymur's `jp2[y0:y1, x0:x1]`, opened before. Building: finding out what to read, and joining it."],
    )


def musts(case: Case) -> Sequence[Must]:
    """What has to hold of a case."""
    slower = Must(f"{case.name}: time against plain", ratio(case.times, "small", "plain"), SLOWER)
    if case.ranges > MANY:
        return (slower,)
    building, limit = milliseconds(case.times, "building"), SHORT if case.ranges <= FEW else LONG
    return slower, Must(f"{case.name}: building, {case.ranges:.0f} ranges", building, limit, " ms")


def measure(path: Path, scale: int) -> Case:
    """Read the same windows both ways, in turn."""
    library = bind()
    blob = on_disk(path)
    reader = Jp2Decoder(OpenJpeg(library), extractors=partial(IndexedExtractor, IndexCache(run_inline, 1 << 28))).open(
        blob
    )
    level = level_of(reader, scale)
    scale = int(reader.info.levels[level].downsample)
    places = windows(reader, level)
    plain = plain_reader(path, scale)
    known = [fetched(reader, blob, level, region) for region in places]
    check(plain(places[0]), pixels_of(reader, *known[0]))
    times = interleaved(
        {
            "plain": lambda turn: plain(places[turn]),
            "small": lambda turn: pixels_of(reader, *fetched(reader, blob, level, places[turn])),
            "building": lambda turn: build(reader.window(level, places[turn]), known[turn][1]),
        },
        ROUNDS,
    )
    size = median(sum(map(len, data)) for _, data in known)
    return Case(f"{files.label(path)}, 1:{scale}", times, size, median(len(data) for _, data in known))


def level_of(reader: ImageReader[Any], scale: int) -> int:
    """The level of a scale, or the coarsest there is."""
    return max(index for index, level in enumerate(reader.info.levels) if level.downsample <= scale)


def windows(reader: ImageReader[Any], level: int) -> Sequence[Rect]:
    """A place of a level for each round, the same every time; all of it where it is smaller than a window."""
    size = reader.info.levels[level].size
    width, height = min(SIDE, size.width), min(SIDE, size.height)
    places = np.random.default_rng(level).random((ROUNDS + 1, 2))
    return [Rect(int(x * (size.width - width)), int(y * (size.height - height)), width, height) for x, y in places]


def fetched(reader: ImageReader[Any], blob: Blob, level: int, region: Rect) -> tuple[Any, Sequence[Buffer]]:
    """A window and its bytes."""
    window = reader.window(level, region)
    return window, blob.read(window.ranges)


def build(window: Window, data: Sequence[Buffer]) -> None:
    """Build the small codestream, as decoding begins."""
    if isinstance(window, Jp2Window) and window.extraction:
        window.extraction.extracted(data)


def check(plain: Pixels, small: Pixels) -> None:
    """Refuse to compare the times of different pictures; plain windows of 9/7 images are off by one here and there."""
    if plain.shape != small.shape or np.abs(plain.astype(int) - small).max() > 1:
        raise AssertionError("plain OpenJPEG and the reader disagree")
