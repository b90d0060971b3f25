"""The main header of a JPEG 2000 codestream, parsed and checked (ITU-T T.800 A.4 to A.9)."""
# ruff: noqa: PLR2004  # limits and lengths are those of the standard's tables, named beside them

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sidecar.plugin import Blob, Buffer, ByteRange, Malformed
from sidecar_jp2.format.markers import Incomplete, Marker, Segment, segments_before
from sidecar_jp2.format.siz import Geometry, parse_siz

FIRST_READ = 16 * 1024
MAX_HEADER_BYTES = 32 * 2**20
"""All TLM segments that a header can have are 16 MB."""


class Progression(IntEnum):
    """T.800 table A.16: layer (L), resolution (R), component (C) and position (P), the slowest to change first."""

    LRCP = 0
    RLCP = 1
    RPCL = 2
    PCRL = 3
    CPRL = 4


@dataclass(frozen=True, slots=True)
class Coding:
    """The coding style of one component: SPcod or SPcoc (T.800 table A.15)."""

    levels: int
    """Decomposition levels; the component has one resolution more."""
    block_width: int
    block_height: int
    """The exponents of the code-block sides, which are powers of 2."""
    block_style: int
    reversible: bool
    precincts: tuple[tuple[int, int], ...]
    """(PPx, PPy) of each resolution, the smallest first."""

    @property
    def high_throughput(self) -> bool:
        """Whether the code blocks are coded by ITU-T T.814 (HTJ2K)."""
        return bool(self.block_style & 0x40)


@dataclass(frozen=True, slots=True)
class Quantization:
    """Sqcd and SPqcd, or Sqcc and SPqcc (T.800 A.6.4). Style 0 is none, 1 derived, 2 expounded."""

    style: int
    guard_bits: int
    steps: tuple[tuple[int, int], ...]
    """(exponent, mantissa) of each subband: LL, then HL, LH, HH of each level, the smallest first."""


@dataclass(frozen=True, slots=True)
class MainHeader:
    """The whole main header. A tile-part header overrides it for its tile."""

    start: int
    """The offset of SOC in the blob."""
    stop: int
    """The offset of the first SOT in the blob."""
    geometry: Geometry
    progression: Progression
    layers: int
    component_transform: bool
    sop: bool
    """SOP segments may stand before packets."""
    eph: bool
    """EPH markers stand after packet headers."""
    coding: tuple[Coding, ...]
    """One for each component."""
    quantization: tuple[Quantization, ...]
    """One for each component."""
    segments: tuple[Segment, ...]
    """Every segment in order; offsets count from SOC."""

    def has(self, marker: Marker) -> bool:
        """Whether a segment with the marker is present."""
        return any(segment.marker == marker for segment in self.segments)

    @property
    def levels(self) -> int:
        """How many times the whole image can be halved: the smallest number of levels of any component."""
        return min(coding.levels for coding in self.coding)


def read_main_header(blob: Blob, start: int, head: Buffer = b"") -> MainHeader:
    """Read and parse the main header whose SOC lies at `start`; `head` holds the bytes that the caller has already.

    Raises Malformed, SourceError.
    """
    data = bytes(head)
    while True:
        try:
            return parse_main_header(data, start)
        except Incomplete as more:
            if start + more.needed > blob.size or more.needed > MAX_HEADER_BYTES:
                raise
            stop = min(start + max(more.needed, 2 * len(data), FIRST_READ), blob.size)
            data += bytes(blob.read([ByteRange(start + len(data), stop)])[0])


def parse_main_header(data: bytes, start: int = 0) -> MainHeader:
    """Parse a main header from its SOC on; `start` is the offset of SOC in the blob.

    Raises Incomplete if the header continues after `data`, and Malformed if it breaks T.800 Annex A.
    """
    if len(data) < 2:
        raise Incomplete(Marker.SOC, 2)
    if int.from_bytes(data[:2]) != Marker.SOC:
        raise Malformed("SOC: the codestream does not begin with this marker")
    segments = tuple(segments_before(Marker.SOT, data, 2))
    if not segments or segments[0].marker != Marker.SIZ:
        raise Malformed("SIZ: it does not follow SOC")
    geometry = parse_siz(_single(segments, Marker.SIZ))
    style = _single(segments, Marker.COD)
    if len(style) < 10:
        raise Malformed("COD: too short")
    flags, progression, layers, transform = struct.unpack_from(">BBHB", style)
    if progression > Progression.CPRL or not layers:
        raise Malformed(f"COD: progression {progression}, {layers} layers")
    coding = _codings(segments, style, len(geometry.components))
    return MainHeader(
        start=start,
        stop=start + segments[-1].stop,
        geometry=geometry,
        progression=Progression(progression),
        layers=layers,
        component_transform=bool(transform),
        sop=bool(flags & 2),
        eph=bool(flags & 4),
        coding=coding,
        quantization=_quantizations(segments, coding),
        segments=segments,
    )


def _single(segments: Sequence[Segment], marker: Marker) -> bytes:
    found = [segment.data for segment in segments if segment.marker == marker]
    if len(found) != 1:
        raise Malformed(f"{marker.name}: {len(found)} segments in the main header")
    return found[0]


def _of_components(segments: Sequence[Segment], marker: Marker, count: int) -> Iterator[tuple[int, bytes]]:
    size = 1 if count < 257 else 2
    for segment in segments:
        if segment.marker == marker:
            component = int.from_bytes(segment.data[:size])
            if component >= count or len(segment.data) <= size:
                raise Malformed(f"{marker.name}: component {component} of {count}, {len(segment.data)} bytes")
            yield component, segment.data[size:]


def _codings(segments: Sequence[Segment], style: bytes, count: int) -> tuple[Coding, ...]:
    codings = [_coding("COD", style[5:], precincts=bool(style[0] & 1))] * count
    for component, data in _of_components(segments, Marker.COC, count):
        codings[component] = _coding("COC", data[1:], precincts=bool(data[0] & 1))
    return tuple(codings)


def _quantizations(segments: Sequence[Segment], codings: Sequence[Coding]) -> tuple[Quantization, ...]:
    found = [_quantization("QCD", _single(segments, Marker.QCD))] * len(codings)
    for component, data in _of_components(segments, Marker.QCC, len(codings)):
        found[component] = _quantization("QCC", data)
    for component, (coding, quantization) in enumerate(zip(codings, found, strict=True)):
        if quantization.style != 1 and len(quantization.steps) < 3 * coding.levels + 1:
            raise Malformed(
                f"QCD: {len(quantization.steps)} step sizes, component {component} has {coding.levels} levels"
            )
    return tuple(found)


def _coding(name: str, data: bytes, *, precincts: bool) -> Coding:
    if len(data) < 5:
        raise Malformed(f"{name}: too short")
    levels, width, height, style, wavelet = data[:5]
    if levels > 32 or len(data) != 5 + (levels + 1 if precincts else 0):
        raise Malformed(f"{name}: {levels} levels in {len(data)} bytes")
    if width + height > 8:  # sides of 4 to 1024 and at most 4096 samples (T.800 table A.18)
        raise Malformed(f"{name}: code blocks of 2^{width + 2}x2^{height + 2}")
    if wavelet > 1:
        raise Malformed(f"{name}: wavelet {wavelet}")
    sizes = tuple((size & 15, size >> 4) for size in data[5:]) or ((15, 15),) * (levels + 1)
    if any(not x or not y for x, y in sizes[1:]):  # T.800 table A.21
        raise Malformed(f"{name}: precincts of one sample above the smallest resolution")
    return Coding(levels, width + 2, height + 2, style, bool(wavelet), sizes)


def _quantization(name: str, data: bytes) -> Quantization:
    if not data:
        raise Malformed(f"{name}: too short")
    style, guard_bits, values = data[0] & 31, data[0] >> 5, data[1:]
    if style > 2:
        raise Malformed(f"{name}: quantization style {style}")
    if style == 0:
        return Quantization(style, guard_bits, tuple((value >> 3, 0) for value in values))
    if len(values) % 2 or (style == 1 and len(values) != 2):
        raise Malformed(f"{name}: {len(values)} bytes of step sizes")
    steps = tuple((value >> 11, value & 2047) for (value,) in struct.iter_unpack(">H", values))
    return Quantization(style, guard_bits, steps)
