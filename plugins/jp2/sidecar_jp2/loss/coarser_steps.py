"""Quantization steps that make decoders stop some bit planes early (ITU-T T.800 A.6.4, A.6.5, E.1)."""

from __future__ import annotations

import struct

from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.markers import Marker, segment_bytes
from sidecar_jp2.format.subbands import exponent_and_mantissa
from sidecar_jp2.loss.dropped_planes import Planes

EXPOUNDED = 2
"""The quantization style with a step for each subband (T.800 table A.28)."""
GUARD_SHIFT = 5
MANTISSA_BITS = 11
MOST_SHORT = 256
"""With more components, Cqcc has two bytes (T.800 table A.31)."""


def coarser_steps(header: MainHeader, planes: Planes) -> bytes:
    """Return QCD for the first component and QCC for the others, the exponent of each subband lowered by its planes.

    A decoder takes the bit planes of a subband and their step from the exponent (E-2, E-3): with a lower one it stops
    as many planes early, and what it has counts for as much as before.
    """
    return b"".join(_segment(header, number, planes) for number in range(len(header.coding)))


def _segment(header: MainHeader, number: int, planes: Planes) -> bytes:
    quantization, steps = (
        header.quantization[number],
        bytearray([header.quantization[number].guard_bits << GUARD_SHIFT | EXPOUNDED]),
    )
    for resolution, bands in enumerate(planes[number]):
        for band, dropped in enumerate(bands):
            exponent, mantissa = exponent_and_mantissa(quantization, resolution, band)
            steps += struct.pack(">H", exponent - dropped << MANTISSA_BITS | mantissa)
    if not number:
        return segment_bytes(Marker.QCD, bytes(steps))
    wide = len(header.coding) > MOST_SHORT
    return segment_bytes(Marker.QCC, number.to_bytes(1 + wide) + bytes(steps))
