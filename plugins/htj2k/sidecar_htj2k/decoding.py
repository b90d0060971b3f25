"""Decoding stages: each codestream built from its bytes, decoded, and coded anew for the stage above."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sidecar_jp2.extract.small_codestream import SOP
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.markers import Marker, segments_before
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.tile_part_header import NEUTRAL

from sidecar.plugin import Buffer, DecodeError
from sidecar_htj2k.cuts import common
from sidecar_htj2k.header import LOWEST_BITS, headroom, lowest_bits
from sidecar_htj2k.openjph import BLOCK, Blocks, OpenJph, Raw
from sidecar_htj2k.stages import Stage

SOT_BYTES = 12


def decode(codec: OpenJph, header: MainHeader, stage: Stage, data: Sequence[Buffer]) -> Raw:
    """Decode a stage and those below it from the bytes of its ranges. Called in a native thread. Raises DecodeError."""
    own = len(data) - len(stage.small.ranges)
    if stage.whole_parts:
        _check_headers(data)
    codestream = stage.small.build(data[own:])
    if stage.base:
        below = decode(codec, header, stage.base, data[:own])
        codestream = _with_lowest(codestream, stage, _lowest_packets(codec, header, stage, stage.base, below))
    shape = (stage.place.height, stage.place.width, len(header.geometry.components))
    return codec.decode(codestream, stage.skipped, shape, stage.depth)


def _check_headers(parts: Sequence[Buffer]) -> None:
    """Check what follows SOT in every tile-part; a part begins with TPsot and TNsot."""
    for part in parts:
        if not NEUTRAL.issuperset(segment.marker for segment in segments_before(Marker.SOD, part, 2)):
            raise DecodeError("a tile-part header changes how its tile is coded")


def _lowest_packets(codec: OpenJph, header: MainHeader, stage: Stage, base: Stage, below: Raw) -> bytes:
    """Code the samples below a stage as its lowest resolution: zero outside the part of them that is known."""
    place, known = stage.lowest, base.place
    part = common(place, known)
    # In whole code blocks, on the grid of the stage.
    left, top = (part.x - place.x) // BLOCK * BLOCK, (part.y - place.y) // BLOCK * BLOCK
    grid = Blocks(ceil_div(place.height, BLOCK), ceil_div(place.width, BLOCK), top // BLOCK, left // BLOCK)
    bottom = min(place.height, ceil_div(part.bottom - place.y, BLOCK) * BLOCK)
    right = min(place.width, ceil_div(part.right - place.x, BLOCK) * BLOCK)
    first_row, first_column = part.y - place.y - top, part.x - place.x - left
    after = Marker.EPH.to_bytes(2) if header.eph else b""
    packets = []
    for component, (coding, quantization) in enumerate(zip(header.coding, header.quantization, strict=True)):
        samples = below[
            part.y - known.y : part.bottom - known.y, part.x - known.x : part.right - known.x, component
        ].astype(np.int32)
        if not coding.reversible:
            _check_range(samples, base.depth)
            dropped = base.depth - LOWEST_BITS - headroom(header, component)
            samples = (samples + (1 << dropped - 1)) >> dropped
        values = np.zeros((bottom - top, right - left), np.int32)
        values[first_row : first_row + part.height, first_column : first_column + part.width] = samples
        planes = quantization.guard_bits + lowest_bits(header, component) - 1
        packets.append(codec.encode(values, grid, planes, SOP, after))
    return b"".join(packets)


def _check_range(samples: NDArray[np.int32], depth: int) -> None:
    most = 1 << depth - 1
    if samples.max(initial=0) >= most - 1 or samples.min(initial=0) <= -most:
        raise DecodeError("OpenJPH: samples of a lower resolution overflow")


def _with_lowest(codestream: bytes, stage: Stage, packets: bytes) -> bytes:
    """Put the packets of the lowest resolution before the others of the only tile-part."""
    at = stage.head + SOT_BYTES + 2
    (length,) = struct.unpack_from(">I", codestream, stage.head + 6)
    return b"".join(
        [
            codestream[: stage.head + 6],
            struct.pack(">I", length + len(packets)),
            codestream[stage.head + 10 : at],
            packets,
            codestream[at:],
        ]
    )
