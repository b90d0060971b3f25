"""Windows of 512² of single tiles of 67 MP and 1 GP: whole tiles against images cut out of them; reading of headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
from numpy.typing import NDArray
from sidecar_jp2.blocks.packet_reader import read_precinct
from sidecar_jp2.blocks.packet_writer import write_precinct
from sidecar_jp2.extract.extractor import extract
from sidecar_jp2.format.block_grid import Bounds, PrecinctPlace, block_grids, blocks_of
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import read_main_header
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.openjpeg.streams import MemoryInput

from sidecar.plugin import ByteRange, run_inline
from sidecar.testing.fakes import on_disk
from tests.benchmarks import files, quilt
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.rounds import Times, interleaved, milliseconds, ratio

SIDE, SCALES, ROUNDS = 512, (1, 2, 4, 8), 7
HEAD_BYTES = 4096
GROWTH, HEADER = 1.3, 10.0
"""A tile of 1 GP against one of 67 MP, in time; microseconds to read and write the header of a code block."""
MARGIN = 16
"""Pixels that the reader decodes around windows of irreversible images."""


def run() -> Report:
    """Measure all levels of all files."""
    paths = files.quilts()
    found = {scale: measure(paths, scale) for scale in SCALES}
    musts = [Must("the header of a code block", header_cost(files.patch().read_bytes()), HEADER, " us")]
    smallest, *larger = paths
    musts += [
        Must(f"1:{scale}: {name} against {smallest}", ratio(times, f"{name}, cut", f"{smallest}, cut"), GROWTH)
        for scale, times in found.items()
        for name in larger
    ]
    cases = {
        f"{name}, 1:{scale}": (
            milliseconds(times, f"{name}, whole"),
            milliseconds(times, f"{name}, cut"),
            ratio(times, f"{name}, cut", f"{name}, whole"),
        )
        for name in paths
        for scale, times in found.items()
    }
    return Report(
        "Windows of single tiles",
        ("512² of", "whole tile, ms", "cut out, ms", "ratio"),
        [(name, *row) for name, row in cases.items()],
        Chart(
            "ms",
            [*cases],
            {"whole tile": [row[0] for row in cases.values()], "cut out": [row[1] for row in cases.values()]},
        ),
        musts,
        [
            "Finding the packets, joining them and decoding a small codestream, either way; the samples are equal.",
            "Header: reading and writing it, microseconds of processor time for each code block.",
        ],
    )


def measure(paths: Mapping[str, Path], scale: int) -> Times:
    """Decode the same windows of all files both ways, in turn, after comparing their samples."""
    size, level = files.PATCH_SIZE, scale.bit_length() - 1
    across, down = (max(1, side // scale // SIDE) for side in (size.width, size.height))
    places = np.random.default_rng(scale).integers(0, (across, down), (ROUNDS + 1, 2)).tolist()
    calls: dict[str, Callable[[int], object]] = {}
    for name, path in paths.items():
        windows = Windows(path, [_area(x * SIDE, y * SIDE, level) for x, y in places])
        for one, other in zip(windows.decode(0, cut=False), windows.decode(0, cut=True), strict=True):
            np.testing.assert_array_equal(one, other)
        calls[f"{name}, whole"] = partial(windows.decode, cut=False)
        calls[f"{name}, cut"] = partial(windows.decode, cut=True)
    return interleaved(calls, ROUNDS)


class Windows:
    """Some windows of a file."""

    def __init__(self, path: Path, areas: Sequence[Area]) -> None:
        self._blob, self._areas = on_disk(path), areas
        head = bytes(self._blob.read([ByteRange(0, HEAD_BYTES)])[0])
        header = read_main_header(self._blob, head.index(b"\xff\x4f\xff\x51"))
        self._index = PacketIndex(header, self._blob.size, run_inline)
        self._codec = OpenJpeg(bind())

    def decode(self, number: int, *, cut: bool) -> Sequence[NDArray[np.int32]]:
        """Return the samples of a window."""
        small = extract(self._index, self._areas[number], self._blob, cut=cut)
        if small is None:
            raise AssertionError("the windows of this file are extracted")
        made = small.extracted(self._blob.read(small.ranges))
        with self._codec.decoded(MemoryInput(made.codestream), made.area) as planes:
            return [np.array(plane) for plane in planes]


def _area(x: int, y: int, level: int) -> Area:
    """Return the area of a window that begins half a patch from the corner: it has neighbours in every file."""
    left, top = (files.PATCH_SIZE.width >> level + 1) + x, (files.PATCH_SIZE.height >> level + 1) + y
    edges = (left - MARGIN, top - MARGIN, left + SIDE + MARGIN, top + SIDE + MARGIN)
    left, top, right, bottom = (edge << level for edge in edges)
    return Area(left, top, right, bottom, level, 1)


def header_cost(data: bytes) -> float:
    """Return the microseconds of processor time to read and write the headers of a code block, all of an image."""
    patch = quilt.take_apart(data)
    header, costs = patch.header, list[float]()
    coding, bounds = header.coding[0], Bounds(0, 0, header.geometry.x1, header.geometry.y1)
    for _ in range(ROUNDS):
        begin, blocks = process_time(), 0
        for resolution, (across, _, precincts) in enumerate(patch.resolutions):
            for number, packets in enumerate(precincts):
                place = PrecinctPlace(resolution, number % across, number // across)
                grids = block_grids(coding, bounds, place)
                for packet in packets:
                    found = read_precinct(grids, [packet], coding.block_style, eph=header.eph)
                    write_precinct(grids, found, coding.block_style)
                    blocks += blocks_of(grids)
        costs.append((process_time() - begin) / blocks * 1e6)
    return median(costs)
