"""The main header of a JPEG 2000 codestream: what ITU-T T.800 A.4 to A.9 say of the whole image, checked."""
# ruff: noqa: PLR2004  # limits and lengths are those of the standard's tables, named beside them

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sidecar.errors import Malformed
from sidecar.interfaces import Blob
from sidecar.model import Buffer, ByteRange, Rect
from sidecar_jp2.markers import Incomplete, Marker, Segment, segments_before

FIRST_READ = 16 * 1024
LONGEST = 32 * 2**20
"""No header of sense is longer: all the TLM segments that can be, are 16 MB."""


class Progression(IntEnum):
    """T.800 table A.16: what changes slowest comes first (layer, resolution, component, position)."""

    LRCP = 0
    RLCP = 1
    RPCL = 2
    PCRL = 3
    CPRL = 4


@dataclass(frozen=True, slots=True)
class Component:
    """Ssiz, XRsiz and YRsiz: one sample for dx x dy points of the reference grid."""

    precision: int
    signed: bool
    dx: int
    dy: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """SIZ (T.800 A.5.1): image and tiles on the reference grid; x1 and y1 are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int
    tile_x: int
    tile_y: int
    """XTOsiz, YTOsiz."""
    tile_width: int
    tile_height: int
    components: tuple[Component, ...]

    @property
    def columns(self) -> int:
        """The number of tiles across."""
        return -((self.tile_x - self.x1) // self.tile_width)

    @property
    def rows(self) -> int:
        """The number of tiles down."""
        return -((self.tile_y - self.y1) // self.tile_height)

    def level(self, level: int) -> Rect:
        """The image area after so many halvings: T.800 B.5 for the reference grid."""
        x0, y0, x1, y1 = (-(-edge >> level) for edge in (self.x0, self.y0, self.x1, self.y1))
        return Rect(x0, y0, x1 - x0, y1 - y0)

    def tile(self, index: int) -> Rect:
        """The part of the image area in a tile, on the reference grid (T.800 B.3)."""
        row, column = divmod(index, self.columns)
        left, top = self.tile_x + column * self.tile_width, self.tile_y + row * self.tile_height
        x0, y0 = max(left, self.x0), max(top, self.y0)
        return Rect(x0, y0, min(left + self.tile_width, self.x1) - x0, min(top + self.tile_height, self.y1) - y0)


@dataclass(frozen=True, slots=True)
class Coding:
    """SPcod or SPcoc (T.800 table A.15): how one component is coded."""

    levels: int
    """Decomposition levels; one less than its resolutions."""
    block_width: int
    block_height: int
    """Code-block sides are 2 to these powers."""
    block_style: int
    reversible: bool
    precincts: tuple[tuple[int, int], ...]
    """(PPx, PPy) of each resolution, the smallest first."""

    @property
    def high_throughput(self) -> bool:
        """Whether code blocks are those of ITU-T T.814 (HTJ2K)."""
        return bool(self.block_style & 0x40)


@dataclass(frozen=True, slots=True)
class Quantization:
    """Sqcd and SPqcd, or Sqcc and SPqcc (T.800 A.6.4): 0 none, 1 derived, 2 expounded."""

    style: int
    guard_bits: int
    steps: tuple[tuple[int, int], ...]
    """(exponent, mantissa) of each subband: LL, then HL, LH, HH of each level, the smallest first."""


@dataclass(frozen=True, slots=True)
class MainHeader:
    """All of the main header. What a tile-part header says of its tile goes before it."""

    start: int
    """Of SOC in the blob."""
    stop: int
    """Of the first SOT in the blob."""
    geometry: Geometry
    progression: Progression
    layers: int
    component_transform: bool
    sop: bool
    """SOP segments may stand before packets."""
    eph: bool
    """EPH markers stand after packet headers."""
    coding: tuple[Coding, ...]
    """Of each component."""
    quantization: tuple[Quantization, ...]
    """Of each component."""
    segments: tuple[Segment, ...]
    """Every segment in its order; offsets are from SOC."""

    def has(self, marker: Marker) -> bool:
        """Whether a segment of the marker is there: POC, PPM, RGN, TLM, CAP."""
        return any(segment.marker == marker for segment in self.segments)

    @property
    def levels(self) -> int:
        """How many times the whole image can be halved: the fewest levels of any component."""
        return min(coding.levels for coding in self.coding)


def read_main_header(blob: Blob, start: int, head: Buffer = b"") -> MainHeader:
    """Read and parse the main header whose SOC lies at `start`; `head` is what the caller has of it already.

    Raises Malformed, SourceError.
    """
    data = bytes(head)
    while True:
        try:
            return parse_main_header(data, start)
        except Incomplete as more:
            if start + more.needed > blob.size or more.needed > LONGEST:
                raise
            stop = min(start + max(more.needed, 2 * len(data), FIRST_READ), blob.size)
            data += bytes(blob.read([ByteRange(start + len(data), stop)])[0])


def parse_main_header(data: bytes, start: int = 0) -> MainHeader:
    """Parse a main header from its SOC on; `start` says where that lies in the blob.

    Raises Incomplete where the header goes on after `data`, Malformed where it breaks T.800 Annex A.
    """
    if len(data) < 2:
        raise Incomplete(Marker.SOC, 2)
    if int.from_bytes(data[:2]) != Marker.SOC:
        raise Malformed("SOC: the codestream does not begin with it")
    segments = tuple(segments_before(Marker.SOT, data, 2))
    if not segments or segments[0].marker != Marker.SIZ:
        raise Malformed("SIZ: it does not follow SOC")
    geometry = _geometry(_single(segments, Marker.SIZ))
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
        raise Malformed(f"{marker.name}: {len(found)} of it in the main header")
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


def _geometry(data: bytes) -> Geometry:
    if len(data) < 36 or len(data) != 36 + 3 * int.from_bytes(data[34:36]):
        raise Malformed("SIZ: its length is not that of its components")
    x1, y1, x0, y0, tile_width, tile_height, tile_x, tile_y, count = struct.unpack_from(">8IH", data, 2)
    if not (x0 < x1 and y0 < y1 and 1 <= count <= 16384):
        raise Malformed(f"SIZ: image area {x0},{y0} to {x1},{y1} with {count} components")
    # T.800 B.3: the first tile holds the first point of the image.
    if not (tile_x <= x0 < tile_x + tile_width and tile_y <= y0 < tile_y + tile_height):
        raise Malformed(f"SIZ: tiles of {tile_width}x{tile_height} from {tile_x},{tile_y}")
    components = tuple(
        Component((depth & 0x7F) + 1, bool(depth & 0x80), dx, dy)
        for depth, dx, dy in struct.iter_unpack(">BBB", data[36:])
    )
    geometry = Geometry(x0, y0, x1, y1, tile_x, tile_y, tile_width, tile_height, components)
    if geometry.columns * geometry.rows > 65535:
        raise Malformed(f"SIZ: {geometry.columns}x{geometry.rows} tiles")
    for index, component in enumerate(components):
        _check_component(geometry, index, component)
    return geometry


def _check_component(geometry: Geometry, index: int, component: Component) -> None:
    dx, dy = component.dx, component.dy
    if component.precision > 38 or not dx or not dy:
        raise Malformed(f"SIZ: component {index} with {component.precision} bits, one sample for {dx}x{dy}")
    if -(-geometry.x1 // dx) == -(-geometry.x0 // dx) or -(-geometry.y1 // dy) == -(-geometry.y0 // dy):
        raise Malformed(f"SIZ: component {index} has no samples")


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
