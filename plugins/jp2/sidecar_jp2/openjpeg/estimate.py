"""Estimates of the memory and the time that OpenJPEG takes for an image, fitted to measurements (see README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar_jp2.format.main_header import Coding, MainHeader, Quantization
from sidecar_jp2.openjpeg.structures import Structures

ORDER_BYTES: Final = 48
"""What finding the order of a tile's packets takes for each, beside what is kept of it (see `index.packet_order`)."""
SAMPLE_BYTES: Final = 4
EDGE_BLOCKS: Final = 12
"""Code blocks of each subband that the smallest window touches, with the margin of the wavelet."""
INCOMPRESSIBLE: Final = 1.1
"""Compressed bytes per raw byte of data that cannot be compressed."""
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

    def fixed_bytes(self, reduce: int) -> int:
        """Return the bytes that any window of a level takes."""
        area = self._tile_area
        buffer = 0 if self._tiles == 1 else self._plane_bytes(area >> 2 * reduce)
        edges = sum(_edge_bytes(coding, area, reduce) for coding in self.header.coding)
        return int(self._structure_bytes + buffer + edges)

    def whole_tiles_bytes(self, reduce: int, pixels: int) -> int:
        """Return the bytes that decoding whole tiles with `pixels` of a level takes, at most so many at once.

        OpenJPEG decodes into planes of one tile, and copies them to planes of all; an only tile is not copied.
        """
        tile = 0 if self._tiles == 1 else self._plane_bytes(self._tile_area >> 2 * reduce)
        return int(self._structure_bytes + tile + self._plane_bytes(pixels))

    @property
    def pixel_bytes(self) -> float:
        """The bytes that each pixel of a window adds; in a tiled image, each pixel of the tiles it touches.

        They hold OpenJPEG's planes. In an untiled image they also hold the decoded code blocks and, for one component
        at a time, the sparse array of blocks, with the blocks around the window that a piece of some megapixels needs.
        """
        planes = self._samples * SAMPLE_BYTES
        if self._tiles > 1:
            return planes
        return 2 * planes + SAMPLE_BYTES * 2.5

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

    @property
    def fixed_seconds(self) -> float:
        """The processor seconds that any window takes."""
        return self.structures.seconds(self.compressed)

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

    @property
    def _structure_bytes(self) -> float:
        """The bytes of what OpenJPEG makes for a tile before any sample: parameters, packets, code blocks."""
        share = self.compressed if self._tiles == 1 else min(self.compressed, UNEVEN * self.compressed // self._tiles)
        order = min(self.structures.packets, self.ordered) * ORDER_BYTES
        return self.structures.nbytes + share + self._segment_bytes(share) + order

    def _segment_bytes(self, share: int) -> float:
        styles = zip(self.header.coding, self.header.quantization, strict=True)
        passes = max((_passes(*each) for each in styles if each[0].block_style & OWN_SEGMENTS), default=0)
        return SEGMENT_BYTES * min(self.structures.blocks * passes, share * 8 / SEGMENT_BITS)

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
