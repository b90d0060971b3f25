"""Estimates of the native memory that OpenJPEG allocates, fitted to measured peaks (see README.md)."""

from __future__ import annotations

from sidecar_jp2.format.main_header import Coding, MainHeader

SAMPLE_BYTES = 4
TILE_BYTES = 7_500
TILE_COMPONENT_BYTES = 1_600
"""OpenJPEG keeps the coding parameters of every tile and of each of its components once it has read the header."""
BLOCK_BYTES = 600
"""The structures of a code block. OpenJPEG makes those of a whole tile at every resolution, even for small windows."""
EDGE_BLOCKS = 12
"""Code blocks of each subband that the smallest window touches, with the margin of the wavelet."""
INCOMPRESSIBLE = 1.1
"""Compressed bytes per raw byte of data that cannot be compressed."""
UNEVEN = 4
"""The largest tile may take this many times the bytes of the average tile."""


def fixed_bytes(header: MainHeader, reduce: int, compressed: int) -> int:
    """Return the bytes that any window of a level takes; the codestream has `compressed` bytes."""
    area = _tile_area(header)
    buffer = 0 if _tiles(header) == 1 else _plane_bytes(header, area >> 2 * reduce)
    edges = sum(_edge_bytes(coding, area, reduce) for coding in header.coding)
    return int(_structure_bytes(header, compressed) + buffer + edges)


def whole_tiles_bytes(header: MainHeader, reduce: int, compressed: int, pixels: int) -> int:
    """Return the bytes that decoding whole tiles with `pixels` of a level takes, at most so many at once.

    OpenJPEG decodes into planes of one tile, and copies them to planes of all; an only tile is not copied.
    """
    tile = 0 if _tiles(header) == 1 else _plane_bytes(header, _tile_area(header) >> 2 * reduce)
    return int(_structure_bytes(header, compressed) + tile + _plane_bytes(header, pixels))


def _structure_bytes(header: MainHeader, compressed: int) -> float:
    """Return the bytes of what OpenJPEG makes for a tile before any sample: parameters, packets, code blocks."""
    tiles = _tiles(header)
    parameters = tiles * (TILE_BYTES + TILE_COMPONENT_BYTES * len(header.geometry.components))
    share = compressed if tiles == 1 else min(compressed, UNEVEN * compressed // tiles)
    return parameters + share + sum(_blocks(coding, _tile_area(header)) for coding in header.coding) * BLOCK_BYTES


def _plane_bytes(header: MainHeader, points: int) -> int:
    return int(_samples(header) * points * SAMPLE_BYTES)


def _tiles(header: MainHeader) -> int:
    return header.geometry.columns * header.geometry.rows


def _tile_area(header: MainHeader) -> int:
    geometry = header.geometry
    if _tiles(header) == 1:
        return (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0)
    return min(geometry.tile_width, geometry.x1 - geometry.x0) * min(geometry.tile_height, geometry.y1 - geometry.y0)


def pixel_bytes(header: MainHeader) -> float:
    """Return the bytes that each pixel of a window adds; in a tiled image, each pixel of the tiles it touches.

    They hold OpenJPEG's planes. In an untiled image they also hold the decoded code blocks and, for one component at a
    time, the sparse array of blocks, with the blocks around the window that a piece of some megapixels needs.
    """
    planes = _samples(header) * SAMPLE_BYTES
    if _tiles(header) > 1:
        return planes
    return 2 * planes + SAMPLE_BYTES * 2.5


def coded_bytes(header: MainHeader, area: int, compressed: int, *, indexed: bool) -> float:
    """Return an upper bound for the compressed bytes of each of the `area` pixels of a level.

    It is the whole codestream spread over them or, if the packets of a level can be told apart, little more than the
    raw samples: a coarse level of a large codestream comes close to that.
    """
    whole = compressed / max(1, area)
    if not indexed:
        return whole
    raw = sum(each.precision / 8 / (each.dx * each.dy) for each in header.geometry.components)
    return min(whole, INCOMPRESSIBLE * raw)


def _samples(header: MainHeader) -> float:
    """Return the number of samples per point of the reference grid."""
    return sum(1 / (each.dx * each.dy) for each in header.geometry.components)


def _blocks(coding: Coding, area: int) -> float:
    """Return the number of code blocks in a tile-component; none is larger than its precinct (ITU-T T.800 B.7)."""
    count = 0.0
    for resolution, precinct in enumerate(coding.precincts):
        lowest = resolution == 0
        width, height = (
            min(side, power if lowest else power - 1)
            for side, power in zip((coding.block_width, coding.block_height), precinct, strict=True)
        )
        samples = area / 4 ** (coding.levels - resolution) * (1 if lowest else 3 / 4)
        count += samples / (1 << width + height)
    return count


def _edge_bytes(coding: Coding, area: int, reduce: int) -> int:
    block = SAMPLE_BYTES << coding.block_width + coding.block_height
    subbands = 3 * max(coding.levels - reduce, 0) + 1
    return min(subbands * EDGE_BLOCKS * block, SAMPLE_BYTES * area >> 2 * reduce)
