"""Tiles of 512² of photographs: plain, by a small codestream, cut out, with fewer bits, with coarser margins.

Each tile is decoded for the first time where headers have to be written, and again. What it loses is what a JPEG of it
loses against a JPEG of all bits.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from time import process_time
from typing import Any, Final
from unittest.mock import patch

import gevent
import numpy as np
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.loss.bound import PILLOW
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.loss.idle_work import IdleWork
from sidecar_jp2.loss.loss_table import LossKey
from sidecar_jp2.lossy import LossRule
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.reader import Jp2Reader

from sidecar.plugin import Pixels, Rect, Tolerance, run_inline
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import pixels_of
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.plain import plain_reader

SIDE, SCALES, ROUNDS, EDGE, SHOWN = 512, (1, 2, 4, 8), 7, 3, 288
ALLOWED, WORST, EDGES, LARGER, COLD = 0.1, 0.25, 0.5, 1.03, 1.3
"""Decibels in the mean, of the worst tile, of the outermost columns; the size of a JPEG; a first tile against now."""
JPEG = Tolerance(80, "4:2:0")
IDLE: Final = IdleWork(0, 0)
FASTER: Final[Mapping[str, tuple[float, ...]]] = {
    files.TILED_LOSSLESS: (1.45, 1.8, 1.8, 1.8),
    files.SINGLE_LOSSLESS: (1.6, 2.2, 2.2, 2.2),
    files.TILED: (0.0, 1.25, 1.6, 1.6),
    files.SINGLE: (1.25, 1.8, 1.8, 1.8),
}
"""How many times as fast as a small codestream, by scale."""
WAYS = ("plain", "small", "cut", "bits", "margins")


@dataclass(frozen=True, slots=True)
class Case:
    """A file at a scale."""

    name: str
    times: Mapping[str, float]
    """Milliseconds of processor time, by way."""
    first: float
    """Of a tile that was never decoded before, with everything."""
    size: float
    """Bytes read for a tile."""
    losses: Sequence[float]
    edge: float
    larger: float
    loss: Loss | None
    faster: float

    @property
    def ratio(self) -> float:
        """How many times as fast as today's small codestream."""
        return self.times["small"] / self.times["margins"]


def run() -> Report:
    """Measure all levels of all files."""
    paths = [*files.lossless(), files.single(), files.tiled()]
    cases = [measure(path, scale) for path in paths for scale in SCALES]
    files.BENCH.mkdir(exist_ok=True)
    show(paths[0], files.BENCH / "bits.png")
    return Report(
        "Fewer bits",
        (
            "512² at quality 80, 4:2:0",
            *(f"{way}, ms" for way in WAYS),
            "first",
            "times",
            "MB",
            "dB",
            "worst",
            "edge",
            "JPEG",
        ),
        [
            (
                case.name,
                *(case.times[way] for way in WAYS),
                case.first,
                case.ratio,
                case.size / 1e6,
                fmean(case.losses),
                max(case.losses),
                case.edge,
                case.larger,
            )
            for case in cases
        ],
        Chart("ms", [case.name for case in cases], {way: [case.times[way] for case in cases] for way in WAYS}),
        [must for case in cases for must in musts(case)],
        [
            "Planning, building and decoding, without fetching: processor time, the median of seven tiles.",
            "Bits: planes that are left out. Margins: more of them in code blocks beside the tile.",
            "First: of a tile of an image whose loss is known, with all its headers read and written.",
            "dB: what a JPEG loses against one of all bits, PSNR against the full decode. Edge: of three columns.",
        ],
    )


def musts(case: Case) -> Sequence[Must]:
    """What has to hold of a case."""
    return (
        Must(f"{case.name}: share of today's time", 1 / case.ratio, 1 / case.faster if case.faster else math.inf),
        Must(f"{case.name}: first tile against today's", case.first / case.times["small"], COLD),
        Must(f"{case.name}: mean loss", fmean(case.losses), ALLOWED, " dB"),
        Must(f"{case.name}: worst loss", max(case.losses), WORST, " dB"),
        Must(f"{case.name}: loss at edges", case.edge, EDGES, " dB"),
        Must(f"{case.name}: size of the JPEG", case.larger, LARGER),
    )


def opened(path: Path, decibels: float = ALLOWED) -> Jp2Reader:
    """Return a reader with an index of its own, which measures at once."""
    rule = LossRule(decibels, run_inline, IDLE)
    extractors = partial(IndexedExtractor, IndexCache(run_inline, 1 << 28))
    return Jp2Decoder(OpenJpeg(bind()), extractors=extractors, rule=rule).open(on_disk(path))


class Uncut(IndexedExtractor):
    """Cuts nothing out of tiles."""

    def extract(self, area: Area, *, cut: bool = False, loss: Loss | None = None) -> Any:
        """Return the small codestream."""
        del cut, loss
        return super().extract(area)


def uncut(path: Path) -> Jp2Reader:
    """Return a reader that decodes small codestreams of whole tiles."""
    extractors = partial(Uncut, IndexCache(run_inline, 1 << 28))
    with patch("sidecar_jp2.decoder.is_cuttable", return_value=False):
        return Jp2Decoder(OpenJpeg(bind()), extractors=extractors).open(on_disk(path))


def found_loss(reader: Jp2Reader, level: int, tolerance: Tolerance | None = None) -> Loss | None:
    """Return what may be lost, measured in this call."""
    tolerance = tolerance or JPEG
    reader.tolerant_window(level, Rect(0, 0, 1, 1), tolerance=tolerance)
    while IDLE.busy:
        gevent.sleep(0.01)
    return reader.extractor.loss(LossKey(level, tolerance, ALLOWED))[1]


def measure(path: Path, scale: int) -> Case:
    """Read the same tiles in all ways."""
    level = scale.bit_length() - 1
    reader = opened(path)
    loss = found_loss(reader, level)
    places = tiles(reader, level)
    times: dict[str, list[float]] = {way: [] for way in (*WAYS, "first")}
    losses, edges, sizes, bytes_read = list[float](), list[float](), list[float](), list[int]()
    plain, today = plain_reader(path, scale), uncut(path)
    for region in places:
        ways = ways_of(reader, today, level, region, loss)
        ways["plain"] = partial(plain, region)
        begin = process_time()
        ways["margins"]()
        times["first"].append(process_time() - begin)
        pixels = {}
        for way, call in ways.items():
            taken = []
            for _ in range(3):
                begin = process_time()
                pixels[way] = call()
                taken.append(process_time() - begin)
            times[way].append(min(taken))
        np.testing.assert_array_equal(pixels["small"], pixels["plain"])
        np.testing.assert_array_equal(pixels["cut"], pixels["plain"])
        whole, fewer = (jpeg(each, pixels["plain"]) for each in (pixels["plain"], pixels["margins"]))
        losses.append(lost(whole, fewer, np.s_[:]))
        edges += [lost(whole, fewer, part) for part in (np.s_[:, :EDGE], np.s_[:, -EDGE:], np.s_[:EDGE], np.s_[-EDGE:])]
        sizes.append(fewer[1] / whole[1])
        bytes_read.append(sum(each.length for each in reader.lossy_window(level, region, loss).ranges))
    means = {way: median(taken) * 1000 for way, taken in times.items()}
    return Case(
        f"{files.label(path)}, 1:{scale}",
        means,
        means["first"],
        fmean(bytes_read),
        losses,
        fmean(edges),
        fmean(sizes),
        loss,
        FASTER[path.name][level],
    )


def ways_of(
    reader: Jp2Reader, today: Jp2Reader, level: int, region: Rect, loss: Loss | None
) -> dict[str, Callable[[], Pixels]]:
    """Return the ways to read a tile, without fetching."""
    bits = replace(loss, margin=0) if loss else None
    data = {each: reader.blob.read(reader.lossy_window(level, region, each).ranges) for each in {None, bits, loss}}

    def read(own: Loss | None) -> Pixels:
        return pixels_of(reader, reader.lossy_window(level, region, own), data[own])

    small = today.window(level, region)
    whole = reader.blob.read(small.ranges)
    return {
        "small": lambda: pixels_of(today, today.window(level, region), whole),
        "cut": partial(read, None),
        "bits": partial(read, bits),
        "margins": partial(read, loss),
    }


def tiles(reader: Jp2Reader, level: int) -> Sequence[Rect]:
    """Return some tiles as viewers ask for them: at multiples of their side."""
    size = reader.info.levels[level].size
    columns, rows = max(1, size.width // SIDE), max(1, size.height // SIDE)
    numbers = np.random.default_rng(level).permutation(columns * rows)[:ROUNDS].tolist()
    return [Rect(number % columns * SIDE, number // columns * SIDE, SIDE, SIDE) for number in numbers]


def show(path: Path, to: Path) -> None:
    """Draw a part of a tile: of all bits, as it is sent, and the difference ten times amplified."""
    reader = opened(path)
    loss, region = found_loss(reader, 1), tiles(reader, 1)[0]
    sent = []
    for each in (None, loss):
        window, file = reader.lossy_window(1, region, each), io.BytesIO()
        pixels = pixels_of(reader, window, reader.blob.read(window.ranges))
        Image.fromarray(pixels).save(file, "JPEG", quality=JPEG.quality, subsampling=PILLOW[JPEG.subsampling])
        sent.append(np.asarray(Image.open(file), int)[:SHOWN, :SHOWN])
    difference = np.clip(128 + 10 * (sent[1] - sent[0]), 0, 255)
    Image.fromarray(np.hstack([*sent, difference]).astype(np.uint8)).save(to)


def jpeg(pixels: Pixels, exact: Pixels) -> tuple[Any, int]:
    """Return the squared errors of a JPEG of pixels, and its size."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG.quality, subsampling=PILLOW[JPEG.subsampling])
    with Image.open(file) as image:
        return (np.asarray(image, float) - exact) ** 2, file.tell()


def lost(whole: tuple[Any, int], fewer: tuple[Any, int], part: Any) -> float:
    """Return by how many decibels a part of one JPEG is worse than of another."""
    return 10 * math.log10(float(fewer[0][part].mean()) / float(whole[0][part].mean()))
