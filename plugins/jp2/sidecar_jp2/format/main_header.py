"""The main header of a JPEG 2000 codestream, parsed and checked (ITU-T T.800 A.4 to A.9)."""
# ruff: noqa: PLR2004  # limits and lengths are those of the standard's tables, named beside them

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sidecar.plugin import Blob, Buffer, ByteRange, Unsupported
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.markers import MOST_SEGMENTS, Incomplete, Marker, Segment, segments_before
from sidecar_jp2.format.siz import Geometry, parse_siz

FIRST_READ = 16 * 1024
MAX_HEADER_BYTES = 8 * 2**20
"""TLM for 131,072 tile-parts takes 0.8 MB; only the packet headers and lengths of PPM and PLM may take some more."""
UNREAD = frozenset({Marker.PPM, Marker.PLM, Marker.CRG, Marker.COM})
"""Segments that are only known to be there: their contents are not kept."""
SEGMENT_BYTES, COMPONENT_BYTES, STYLE_BYTES = 160, 136, 400
"""The memory of a segment's, a component's and a coding style's objects; measured with sys.getsizeof."""
PART_2 = 0x8000
"""The flag in Rsiz for extensions of ITU-T T.801 (T.801 table A.2)."""
EXTENSIONS = frozenset({0xFF70, 0xFF71, 0xFF72, 0xFF73, 0xFF76, 0xFF79})
"""DCO, VMS, DFS, ADS, NLT and ATK (T.801 table A.1), which OpenJPEG passes over, though they change the samples."""


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
    """Every segment in order; offsets count from SOC. Those of UNREAD are empty."""

    def has(self, marker: Marker) -> bool:
        """Whether a segment with the marker is present."""
        return any(segment.marker == marker for segment in self.segments)

    @property
    def regular(self) -> bool:
        """Whether COD and QCD stand once, and before the segments that override them for single components.

        Where they do not, OpenJPEG lets each segment override all that come before it, other decoders do not.
        """
        markers = [segment.marker for segment in self.segments]
        return all(
            markers.count(default) == 1 and markers.index(default) < min(_places(markers, single), default=len(markers))
            for default, single in ((Marker.COD, Marker.COC), (Marker.QCD, Marker.QCC))
        ) and all(map(_has_all_steps, self.coding, self.quantization))

    @property
    def nbytes(self) -> int:
        """The approximate memory in bytes."""
        contents = sum(SEGMENT_BYTES + len(segment.data) for segment in self.segments)
        styles = len({id(each) for each in (*self.coding, *self.quantization)})
        return contents + COMPONENT_BYTES * len(self.geometry.components) + STYLE_BYTES * styles

    @property
    def levels(self) -> int:
        """How many times the whole image can be halved: the smallest number of levels of any component."""
        return min(coding.levels for coding in self.coding)


def read_main_header(blob: Blob, start: int, head: Buffer = b"") -> MainHeader:
    """Read and parse the main header whose SOC lies at `start`; `head` holds the bytes that the caller has already.

    Each segment is parsed once, as its bytes come. Raises Broken, Unsupported, SourceError.
    """
    data, at = bytes(head), 0
    segments: list[Segment] = []
    while True:
        try:
            at = at or _after_soc(data)
            for segment in segments_before(Marker.SOT, data, at, MOST_SEGMENTS - len(segments)):
                segments.append(segment)
                at = segment.stop
            return _header(segments, start)
        except Incomplete as more:
            if start + more.needed > blob.size:
                raise
            if more.needed > MAX_HEADER_BYTES:
                raise Unsupported(f"a main header of more than {MAX_HEADER_BYTES} bytes") from more
            wanted = max(more.needed, min(2 * len(data), MAX_HEADER_BYTES), FIRST_READ)
            stop = min(start + wanted, blob.size)
            data += bytes(blob.read([ByteRange(start + len(data), stop)])[0])


def parse_main_header(data: bytes, start: int = 0) -> MainHeader:
    """Parse a main header from its SOC on; `start` is the offset of SOC in the blob.

    Raises Incomplete if the header continues after `data`, Broken if it breaks T.800 Annex A, and Unsupported if it
    uses ITU-T T.801 in a way that OpenJPEG does not follow, or has too many segments or components.
    """
    return _header([*segments_before(Marker.SOT, data, _after_soc(data))], start)


def _after_soc(data: bytes) -> int:
    if len(data) < 2:
        raise Incomplete(Marker.SOC, 2)
    if int.from_bytes(data[:2]) != Marker.SOC:
        raise Broken("SOC: the codestream does not begin with this marker")
    return 2


def _header(segments: Sequence[Segment], start: int) -> MainHeader:
    if found := EXTENSIONS.intersection(segment.marker for segment in segments):
        raise Unsupported(f"{min(found):04X}: a feature of JPEG 2000 Part 2")
    known = [segment for segment in segments if segment.marker in Marker.__members__.values()]
    if not known or known[0].marker != Marker.SIZ or len([*_of(segments, Marker.SIZ)]) > 1:
        raise Broken("SIZ: it does not follow SOC, or stands twice")
    try:
        return _parse(segments, start)
    except Broken as broken:
        if int.from_bytes(known[0].data[:2]) & PART_2:
            raise Unsupported(f"{broken} (JPEG 2000 Part 2)") from broken
        raise


def _parse(segments: Sequence[Segment], start: int) -> MainHeader:
    (size,) = _of(segments, Marker.SIZ)
    geometry = parse_siz(size)
    styles = _of(segments, Marker.COD)
    if min(map(len, styles), default=0) < 10:
        raise Broken("COD: missing or too short")
    flags, progression, layers, transform = struct.unpack_from(">BBHB", styles[-1])
    if progression > Progression.CPRL or not layers:
        raise Broken(f"COD: progression {progression}, {layers} layers")
    coding = _codings(segments, len(geometry.components))
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
        quantization=_quantizations(segments, len(coding)),
        segments=tuple(each._replace(data=b"") if each.marker in UNREAD else each for each in segments),
    )


def _of(segments: Sequence[Segment], marker: Marker) -> list[bytes]:
    return [segment.data for segment in segments if segment.marker == marker]


def _places(markers: Sequence[int], marker: Marker) -> Iterator[int]:
    return (place for place, found in enumerate(markers) if found == marker)


def _component(segment: Segment, count: int) -> tuple[int, bytes]:
    """Return the component of a COC or QCC segment, and what follows its number."""
    size = 1 if count < 257 else 2
    component = int.from_bytes(segment.data[:size])
    if component >= count or len(segment.data) <= size:
        raise Broken(f"{segment.name}: component {component} of {count}, {len(segment.data)} bytes")
    return component, segment.data[size:]


def _codings(segments: Sequence[Segment], count: int) -> tuple[Coding, ...]:
    codings: list[Coding] = []
    for segment in segments:
        if segment.marker == Marker.COD:
            codings = [_coding("COD", segment.data[5:], precincts=bool(segment.data[0] & 1))] * count
        elif segment.marker == Marker.COC:
            component, data = _component(segment, count)
            # A COC before the COD has no effect: OpenJPEG writes over it.
            for index in [component] if codings else []:
                codings[index] = _coding("COC", data[1:], precincts=bool(data[0] & 1))
    return tuple(codings)


def _quantizations(segments: Sequence[Segment], count: int) -> tuple[Quantization, ...]:
    found: list[Quantization] = []
    for segment in segments:
        if segment.marker == Marker.QCD:
            found = [_quantization("QCD", segment.data)] * count
        elif segment.marker == Marker.QCC:
            component, data = _component(segment, count)
            for index in [component] if found else []:
                found[index] = _quantization("QCC", data)
    if not found:
        raise Broken("QCD: missing")
    return tuple(found)


def _has_all_steps(coding: Coding, quantization: Quantization) -> bool:
    return quantization.style == 1 or len(quantization.steps) >= 3 * coding.levels + 1


def _coding(name: str, data: bytes, *, precincts: bool) -> Coding:
    if len(data) < 5:
        raise Broken(f"{name}: too short")
    levels, width, height, style, wavelet = data[:5]
    if wavelet > 1:  # T.801 table A.21: an arbitrary one, defined by ATK
        raise Unsupported(f"{name}: wavelet {wavelet}")
    if levels > 32 or len(data) != 5 + (levels + 1 if precincts else 0):
        raise Broken(f"{name}: {levels} levels in {len(data)} bytes")
    if width + height > 8:  # sides of 4 to 1024 and at most 4096 samples (T.800 table A.18)
        raise Broken(f"{name}: code blocks of 2^{width + 2}x2^{height + 2}")
    sizes = tuple((size & 15, size >> 4) for size in data[5:]) or ((15, 15),) * (levels + 1)
    if any(not x or not y for x, y in sizes[1:]):  # T.800 table A.21
        raise Broken(f"{name}: precincts of one sample above the smallest resolution")
    return Coding(levels, width + 2, height + 2, style, bool(wavelet), sizes)


def _quantization(name: str, data: bytes) -> Quantization:
    if not data:
        raise Broken(f"{name}: too short")
    style, guard_bits, values = data[0] & 31, data[0] >> 5, data[1:]
    if style > 2:  # T.801 A.2.4 has more of them
        raise Unsupported(f"{name}: quantization style {style}")
    if style == 0:
        return Quantization(style, guard_bits, tuple((value >> 3, 0) for value in values))
    if len(values) % 2 or (style == 1 and len(values) != 2):
        raise Broken(f"{name}: {len(values)} bytes of step sizes")
    steps = tuple((value >> 11, value & 2047) for (value,) in struct.iter_unpack(">H", values))
    return Quantization(style, guard_bits, steps)
