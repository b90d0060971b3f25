"""How much native memory decoding takes: what OpenJPEG allocates, fitted to measured peaks (see README.md)."""

from __future__ import annotations

from sidecar_jp2.codestream import Coding, MainHeader

SAMPLE_BYTES = 4
TILE_BYTES = 7_500
TILE_COMPONENT_BYTES = 1_600
"""OpenJPEG keeps the coding parameters of every tile and of each of its components from the main header on."""
BLOCK_BYTES = 600
"""The structures of a code block. Those of a whole tile are made, at every resolution, however small the window."""
EDGE_BLOCKS = 12
"""Code blocks of each subband that a window touches however small it is, with the wavelet's margin."""
NOISE = 1.1
"""The most that coding makes of what cannot be compressed."""
UNEVEN = 4
"""A tile may take so many times the bytes of the average tile."""


def fixed_bytes(header: MainHeader, reduce: int, compressed: int) -> int:
    """Return what any window of a level takes, for a codestream of `compressed` bytes."""
    geometry = header.geometry
    tiles = geometry.columns * geometry.rows
    whole = (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0)
    area = whole if tiles == 1 else geometry.tile_width * geometry.tile_height
    parameters = tiles * (TILE_BYTES + TILE_COMPONENT_BYTES * len(geometry.components))
    share = compressed if tiles == 1 else min(compressed, UNEVEN * compressed // tiles)
    blocks = sum(_blocks(coding, area) for coding in header.coding) * BLOCK_BYTES
    buffer = 0 if tiles == 1 else int(_samples(header) * (area >> 2 * reduce) * SAMPLE_BYTES)
    edges = sum(_edge_bytes(coding, area, reduce) for coding in header.coding)
    return int(parameters + share + blocks + buffer + edges)


def pixel_bytes(header: MainHeader) -> float:
    """Return what each pixel of a window takes on top; of whole tiles, where the image is tiled.

    OpenJPEG's planes; in an untiled image the decoded code blocks too, and the sparse array they are put into for one
    component at a time, with the blocks around the window that a piece of some megapixels needs.
    """
    planes = _samples(header) * SAMPLE_BYTES
    if header.geometry.columns * header.geometry.rows > 1:
        return planes
    return 2 * planes + SAMPLE_BYTES * 2.5


def coded_bytes(header: MainHeader, area: int, compressed: int) -> float:
    """Return what each of the `area` pixels of a level takes in the codestream: no more than all that is there.

    Nor much more than the samples themselves, which a coarse level of a large codestream comes close to.
    """
    raw = sum(each.precision / 8 / (each.dx * each.dy) for each in header.geometry.components)
    return min(compressed / max(1, area), NOISE * raw)


def _samples(header: MainHeader) -> float:
    """Samples to one point of the reference grid."""
    return sum(1 / (each.dx * each.dy) for each in header.geometry.components)


def _blocks(coding: Coding, area: int) -> float:
    """Code blocks of a tile-component (ITU-T T.800 B.7: they are no larger than their precinct)."""
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
