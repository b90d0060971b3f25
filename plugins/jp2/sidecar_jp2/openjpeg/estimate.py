"""Estimates of the memory and the time that OpenJPEG takes for an image, fitted to measurements (see README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar_jp2.format.main_header import Coding, MainHeader, Quantization
from sidecar_jp2.openjpeg.cut_estimate import INCOMPRESSIBLE, CutEstimate, estimate_cut, uncut_structures
from sidecar_jp2.openjpeg.structures import Structures

ORDER_BYTES: Final = 48
"""What finding the order of a tile's packets takes for each, beside what is kept of it (see `index.packet_order`)."""
SAMPLE_BYTES: Final = 4
EDGE_BLOCKS: Final = 12
"""Code blocks of each subband that the smallest window touches, with the margin of the wavelet."""
UNEVEN: Final = 4
"""The largest tile may take this many times the bytes of the average tile."""
OWN_SEGMENTS: Final = 0x05
"""The block styles (T.800 table A.19) that give coding passes segments of their own: 1, after the first ten passes, and
4, all of them."""
SEGMENT_BYTES, SEGMENT_BITS = 48, 3
"""OpenJPEG's record of a segment, and the least bits that its length takes in a packet header (T.800 B.10.7)."""
MOST_PLANES: Final = 31
"""OpenJPEG decodes no block with more."""
PASS_SECONDS: Final = 2.5e-9
"""A coding pass, for each sample of its code block."""
SAMPLE_SECONDS: Final = 20e-9
"""The wavelet, the colour transform and the conversion, for each sample."""
BLOCK_BITS: Final = 20
"""The least bits of a packet header with which a code block has all passes that it can have."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What decoding an image takes."""

    header: MainHeader
    structures: Structures
    compressed: int
    """Bytes of the codestream."""
    ordered: int = 0
    """The most packets of a tile whose order is found; 0: none is, since windows are not extracted."""
    cut: bool = False
    """Whether windows of an only tile are cut out of it."""

    def fixed_bytes(self, reduce: int) -> int:
        """Return the bytes that any window of a level takes."""
        area = self._tile_area
        buffer = 0 if self._tiles == 1 else self._plane_bytes(area >> 2 * reduce)
        structures = self._structure_bytes
        if cut := self._cut(reduce):
            structures = self._cut_bytes(cut)
        return int(structures + buffer + self._edges(reduce))

    def uncut_bytes(self, reduce: int, dropped: int, compressed: int) -> int:
        """Return the bytes that any window of a level takes of an only tile that is not cut.

        Its codestream has `compressed` bytes and lacks the `dropped` finest resolutions.
        """
        structures = uncut_structures(self.header, dropped)
        segments = self._segment_bytes(structures, compressed)
        return int(structures.nbytes + compressed + segments + self._edges(reduce))

    def whole_tiles_bytes(self, reduce: int, pixels: int) -> int:
        """Return the bytes that decoding whole tiles with `pixels` of a level takes, at most so many at once.

        OpenJPEG decodes into planes of one tile, and copies them to planes of all; an only tile is not copied.
        """
        tile = 0 if self._tiles == 1 else self._plane_bytes(self._tile_area >> 2 * reduce)
        return int(self._structure_bytes + tile + self._plane_bytes(pixels))

    def pixel_bytes(self, reduce: int) -> float:
        """Return the bytes that each pixel of a window adds; in a tiled image, each pixel of the tiles it touches.

        They hold OpenJPEG's planes. In an untiled image they also hold the decoded code blocks and, for one component
        at a time, the sparse array of blocks, with the blocks around the window that a piece of some megapixels needs;
        and the packets of what is cut out.
        """
        planes = self._samples * SAMPLE_BYTES
        if self._tiles > 1:
            return planes
        cut = self._cut(reduce)
        return 2 * planes + SAMPLE_BYTES * 2.5 + (cut.pixel_bytes if cut else 0)

    def coded_bytes(self, area: int, *, indexed: bool) -> float:
        """Return an upper bound for the compressed bytes of each of the `area` pixels of a level.

        It is the whole codestream spread over them or, if the packets of a level can be told apart, little more than
        the raw samples: a coarse level of a large codestream comes close to that.
        """
        whole = self.compressed / max(1, area)
        if not indexed:
            return whole
        raw = sum(each.precision / 8 / (each.dx * each.dy) for each in self.header.geometry.components)
        return min(whole, INCOMPRESSIBLE * raw)

    def fixed_seconds(self, reduce: int) -> float:
        """Return the processor seconds that any window of a level takes."""
        cut = self._cut(reduce)
        return (cut.structures if cut else self.structures).seconds(self.compressed)

    def pixel_seconds(self, area: int) -> float:
        """Return an upper bound for the processor seconds of each of the `area` pixels of a level.

        Code blocks have no more passes than the header allows (T.800 E-2, D.3), and there are no more of them than
        the file has bytes for.
        """
        samples = passes = 0.0
        for each, coding, quantization in zip(
            self.header.geometry.components, self.header.coding, self.header.quantization, strict=True
        ):
            share = 1 / (each.dx * each.dy)
            samples += share
            passes += share * _passes(coding, quantization)
        block = max(1 << coding.block_width + coding.block_height for coding in self.header.coding)
        dearest = max(map(_passes, self.header.coding, self.header.quantization)) * block * PASS_SECONDS
        all_bytes = self.compressed * 8 / BLOCK_BITS * dearest
        return samples * SAMPLE_SECONDS + min(passes * PASS_SECONDS, all_bytes / max(1, area))

    def _cut(self, reduce: int) -> CutEstimate | None:
        """Return what cutting a window out of its tile takes, if that is done and saves memory."""
        cut = estimate_cut(self.header, reduce) if self.cut else None
        return cut if cut and self._cut_bytes(cut) < self._structure_bytes else None

    def _cut_bytes(self, cut: CutEstimate) -> float:
        packets = min(self.compressed, cut.packet_bytes)
        return cut.structures.nbytes + packets + self._segment_bytes(cut.structures, packets) + self._order_bytes

    @property
    def _order_bytes(self) -> float:
        return min(self.structures.packets, self.ordered) * ORDER_BYTES

    def _edges(self, reduce: int) -> float:
        return sum(_edge_bytes(coding, self._tile_area, reduce) for coding in self.header.coding)

    @property
    def _structure_bytes(self) -> float:
        """The bytes of what OpenJPEG makes for a tile before any sample: parameters, packets, code blocks."""
        share = self.compressed if self._tiles == 1 else min(self.compressed, UNEVEN * self.compressed // self._tiles)
        return self.structures.nbytes + share + self._segment_bytes(self.structures, share) + self._order_bytes

    def _segment_bytes(self, structures: Structures, share: float) -> float:
        styles = zip(self.header.coding, self.header.quantization, strict=True)
        passes = max((_passes(*each) for each in styles if each[0].block_style & OWN_SEGMENTS), default=0)
        return SEGMENT_BYTES * min(structures.blocks * passes, share * 8 / SEGMENT_BITS)

    def _plane_bytes(self, points: int) -> int:
        return int(self._samples * points * SAMPLE_BYTES)

    @property
    def _tiles(self) -> int:
        return self.structures.tiles

    @property
    def _tile_area(self) -> int:
        geometry = self.header.geometry
        width, height = geometry.x1 - geometry.x0, geometry.y1 - geometry.y0
        if self._tiles == 1:
            return width * height
        return min(geometry.tile_width, width) * min(geometry.tile_height, height)

    @property
    def _samples(self) -> float:
        """The number of samples per point of the reference grid."""
        return sum(1 / (each.dx * each.dy) for each in self.header.geometry.components)


def _passes(coding: Coding, quantization: Quantization) -> int:
    """Return the most coding passes of a code block: three for each bit plane but the first (T.800 D.3)."""
    if coding.high_throughput:
        return 3
    exponent = max((exponent for exponent, _ in quantization.steps), default=MOST_PLANES)
    return 3 * max(1, min(quantization.guard_bits + exponent - 1, MOST_PLANES)) - 2


def _edge_bytes(coding: Coding, area: int, reduce: int) -> int:
    block = SAMPLE_BYTES << coding.block_width + coding.block_height
    subbands = 3 * max(coding.levels - reduce, 0) + 1
    return min(subbands * EDGE_BLOCKS * block, SAMPLE_BYTES * area >> 2 * reduce)
