"""The main header of a stage: the resolutions that it keeps, of an image of its own size, with samples made deeper."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar_jp2.format.main_header import MainHeader, Quantization
from sidecar_jp2.format.markers import Marker, segment_bytes

WHOLE = 0xFF
"""PPx and PPy of 15: one precinct for a whole resolution."""
LOWEST_BITS = 22
"""Bit planes of an irreversible lowest resolution that is coded anew: fourteen of them fractional for 8 bits."""
MOST_HEADROOM = 2
"""Bits by which samples of a base may overshoot."""
REVERSIBLE_HEADROOM = 4
"""Bit planes beyond the precision of the image for a reversible one: colour transform, wavelet, overshoot."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Image area and tiles of a stage (T.800 A.5.1), in one direction."""

    start: int
    stop: int
    origin: int
    size: int

    @classmethod
    def alone(cls, start: int, stop: int) -> Frame:
        """Return the frame of a single tile that is the whole image."""
        return cls(start, stop, start, stop - start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The resolutions of a stage."""

    levels: int
    """How many levels are left."""
    recoded: int | None = None
    """The number of the resolution that is coded anew and becomes the lowest one; None: none is."""


def headroom(header: MainHeader, component: int) -> int:
    """Return by how many powers of two the samples of a base are made smaller than they are, if irreversible.

    OpenJPH clips them to the declared depth, and low bands overshoot: up to twice, as far as their guard bits allow.
    Steps are made finer by their exponent, and guard bits fewer, so that the bit planes stay (T.800 E-2).
    """
    if header.coding[component].reversible:
        return 0
    quantization = header.quantization[component]
    return min(quantization.guard_bits, MOST_HEADROOM)


def lowest_bits(header: MainHeader, component: int) -> int:
    """Return the exponent of the lowest resolution coded anew."""
    if header.coding[component].reversible:
        return header.geometry.components[component].precision + REVERSIBLE_HEADROOM
    return LOWEST_BITS


def stage_header(
    header: MainHeader, x: Frame, y: Frame, kept: Kept, depth: int, *, transform: bool, marked: bool
) -> bytes:
    """Return SOC and the segments. `marked`: SOP before every packet; without `transform` colours stay as coded."""
    coding, geometry = header.coding[0], header.geometry
    sizes = (x.stop, y.stop, x.start, y.start, x.size, y.size, x.origin, y.origin, len(geometry.components))
    siz = header.segments[0].data[:2] + struct.pack(">8IH", *sizes)
    style = bytes(
        [
            kept.levels,
            coding.block_width - 2,
            coding.block_height - 2,
            coding.block_style,
            int(coding.reversible),
            *_precincts(header, kept),
        ]
    )
    flags = 1 | 2 * (marked or header.sop) | 4 * header.eph
    cod = struct.pack(">BBHB", flags, header.progression, 1, header.component_transform and transform) + style
    return b"".join(
        [
            struct.pack(">H", Marker.SOC),
            segment_bytes(Marker.SIZ, siz + bytes([0x80 | depth - 1, 1, 1]) * len(geometry.components)),
            *(segment_bytes(each.marker, each.data) for each in header.segments if each.marker == Marker.CAP),
            segment_bytes(Marker.COD, cod),
            *_quantization(header, kept, finer=not transform),
        ]
    )


def _precincts(header: MainHeader, kept: Kept) -> Iterator[int]:
    sizes = [wide | high << 4 for wide, high in header.coding[0].precincts]
    if kept.recoded is None:
        return iter(sizes[: kept.levels + 1])
    return iter([WHOLE, *sizes[kept.recoded + 1 : kept.recoded + 1 + kept.levels]])


def _quantization(header: MainHeader, kept: Kept, *, finer: bool) -> Iterator[bytes]:
    written = [
        _steps(header, kept, component, headroom(header, component) if finer else 0)
        for component in range(len(header.geometry.components))
    ]
    yield segment_bytes(Marker.QCD, written[0])
    wide = len(written) > 256  # noqa: PLR2004  # Cqcc has two bytes then (T.800 A.6.5)
    for component, steps in enumerate(written):
        if steps != written[0]:
            yield segment_bytes(Marker.QCC, component.to_bytes(1 + wide) + steps)


def _steps(header: MainHeader, kept: Kept, component: int, room: int) -> bytes:
    quantization = header.quantization[component]
    steps = expounded(quantization, header.coding[component].levels)
    first = 1 + 3 * (kept.recoded or 0)
    lowest = steps[0] if kept.recoded is None else (lowest_bits(header, component), 0)
    taken = [lowest, *steps[first : first + 3 * kept.levels]]
    if quantization.style == 0:
        return bytes([quantization.guard_bits << 5, *(exponent << 3 for exponent, _ in taken)])
    values = [exponent + room << 11 | mantissa for exponent, mantissa in taken]
    return struct.pack(f">B{len(values)}H", quantization.guard_bits - room << 5 | 2, *values)


def expounded(quantization: Quantization, levels: int) -> Sequence[tuple[int, int]]:
    """Return the step of each subband, for derived ones too (T.800 E-5)."""
    if quantization.style != 1:
        return quantization.steps
    exponent, mantissa = quantization.steps[0]
    finer = [(exponent - level, mantissa) for level in range(levels) for _ in range(3)]
    return [(exponent, mantissa), *finer]
