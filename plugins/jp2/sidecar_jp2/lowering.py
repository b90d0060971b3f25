"""The main header of a small codestream: fewer tiles, fewer resolutions, nothing that decoding does not need."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar_jp2.codestream import Geometry, MainHeader, Progression
from sidecar_jp2.markers import Marker, Segment, segment_bytes

_KEPT = frozenset({Marker.SIZ, Marker.CAP, Marker.COD, Marker.COC, Marker.QCD, Marker.QCC, Marker.RGN})
_LEFT_OUT = frozenset({Marker.TLM, Marker.PLM, Marker.PRF, Marker.CPF, Marker.CRG, Marker.COM})
"""Nothing about how to decode; TLM and PLM would not be right any more."""


SOP_USED = 2
"""In Scod (T.800 table A.13)."""


def understood(header: MainHeader) -> bool:
    """Whether nothing else stands in a main header than what can be rewritten: no POC, no PPM, nothing of Part 2."""
    return all(segment.marker in _KEPT | _LEFT_OUT for segment in header.segments)


@dataclass(frozen=True, slots=True)
class Span:
    """The tile columns (or rows) `begin` to `end`, and where they lie on the reference grid along that direction."""

    begin: int
    end: int
    image: tuple[int, int]
    """The part of the image area in them."""
    origin: int
    """Where the first tile begins, image or not."""
    size: int
    """Of a tile."""

    @classmethod
    def of(cls, geometry: Geometry, axis: int, level: int, start: int, stop: int) -> Span:
        """Those that hold the samples `start` to `stop` of a level; axis 0 is across, 1 down."""
        low, high = ((geometry.x0, geometry.x1), (geometry.y0, geometry.y1))[axis]
        origin, size = ((geometry.tile_x, geometry.tile_width), (geometry.tile_y, geometry.tile_height))[axis]
        # Sample u of a level stands at u * 2^level on the reference grid (T.800 B.5).
        begin, end = ((start << level) - origin) // size, (((stop - 1) << level) - origin) // size + 1
        first = origin + begin * size
        return cls(begin, end, (max(low, first), min(high, origin + end * size)), first, size)

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """The part of the image area in each of its tiles."""
        starts = [self.origin + k * self.size for k in range(self.end - self.begin)]
        return [(max(self.image[0], start), min(self.image[1], start + self.size)) for start in starts]

    def lowered(self, level: int) -> Span | None:
        """The same tiles after `level` halvings; None where no tile size cuts the smaller image at the same places."""
        low, high = (_halved(edge, level) for edge in self.image)
        if self.end - self.begin == 1:
            return Span(self.begin, self.end, (low, high), low, high - low)
        origin, size = _halved(self.origin, level), _halved(self.size, level)
        whole = self.size % (1 << level) == 0
        cuts = range(1, self.end - self.begin)
        if not whole and any(_halved(self.origin + k * self.size, level) != origin + k * size for k in cuts):
            return None
        return Span(self.begin, self.end, (low, high), origin, size)


def _keeps_order(header: MainHeader, level: int, x: Span, y: Span) -> bool:
    """Whether the packets of the resolutions left come in the same order after `level` halvings.

    Progressions by position compare places on the reference grid (T.800 B.12.1.3 to B.12.1.5). Halving is exact for
    precincts' own places, not for the edge of a tile at which precincts cut by it are met.
    """
    if header.progression in (Progression.LRCP, Progression.RLCP):
        return True
    alike = len({(part.dx, part.dy) for part in header.geometry.components}) == 1
    if header.progression == Progression.RPCL and alike and len({code.precincts for code in header.coding}) == 1:
        return True
    return not any(start % (1 << level) for start, _ in (*x.pieces, *y.pieces))


def can_lower(header: MainHeader, level: int, x: Span, y: Span) -> bool:
    """Whether the tiles of two spans decode alike with `level` resolutions fewer."""
    return _has_samples(header, level, x, y) and _keeps_order(header, level, x, y)


def _has_samples(header: MainHeader, level: int, x: Span, y: Span) -> bool:
    """OpenJPEG refuses tiles in which a component has no samples, and a smaller tile may come to that."""
    samplings = (
        (x, {part.dx for part in header.geometry.components}),
        (y, {part.dy for part in header.geometry.components}),
    )
    return all(
        -(-_halved(start, level) // step) < -(-_halved(stop, level) // step)
        for span, steps in samplings
        for step in steps
        for start, stop in span.pieces
    )


def main_header(header: MainHeader, dropped: int, x: Span, y: Span, *, marked: bool) -> bytes:
    """SOC and the segments for the tiles of two spans (lowered already), without the `dropped` finest resolutions.

    `marked` says that SOP may stand before packets, whether or not it did.
    """
    return struct.pack(">H", Marker.SOC) + b"".join(_segments(header, dropped, x, y, SOP_USED if marked else 0))


def _segments(header: MainHeader, dropped: int, x: Span, y: Span, style: int) -> Iterator[bytes]:
    wide = len(header.coding) > 256  # noqa: PLR2004  # then Ccoc and Cqcc have two bytes (T.800 A.6.2)
    for segment in header.segments:
        if segment.marker == Marker.SIZ:
            sizes = (x.image[1], y.image[1], x.image[0], y.image[0], x.size, y.size, x.origin, y.origin)
            yield segment_bytes(Marker.SIZ, segment.data[:2] + struct.pack(">8I", *sizes) + segment.data[34:])
        elif segment.marker == Marker.COD:
            fewer = _fewer_levels(segment, dropped, wide=wide)
            yield segment_bytes(Marker.COD, bytes([fewer[0] | style]) + fewer[1:])
        elif segment.marker == Marker.COC:
            yield segment_bytes(Marker.COC, _fewer_levels(segment, dropped, wide=wide))
        elif segment.marker in (Marker.QCD, Marker.QCC) and dropped:
            yield segment_bytes(segment.marker, _fewer_steps(segment, dropped, wide=wide))
        elif segment.marker in _KEPT:
            yield segment_bytes(segment.marker, segment.data)


def _fewer_levels(segment: Segment, dropped: int, *, wide: bool) -> bytes:
    """COD or COC: the number of levels, and the precincts of the finest resolutions, which stand last."""
    at = 5 if segment.marker == Marker.COD else 2 + wide
    precincts = segment.data[at + 5 :]
    return (
        segment.data[:at]
        + bytes([segment.data[at] - dropped])
        + segment.data[at + 1 : at + 5]
        + precincts[: max(0, len(precincts) - dropped)]
    )


def _fewer_steps(segment: Segment, dropped: int, *, wide: bool) -> bytes:
    """QCD or QCC: the steps of the finest subbands stand last; a derived one (style 1) is of the smallest."""
    at = 0 if segment.marker == Marker.QCD else 1 + wide
    size = (3, 0, 6)[segment.data[at] & 31]
    return segment.data[: len(segment.data) - size * dropped]


def _halved(value: int, times: int) -> int:
    return -(-value >> times)
