"""The main header of a small codestream: fewer tiles, fewer resolutions, only segments that decoding needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sidecar_jp2.format.main_header import MainHeader, Progression
from sidecar_jp2.format.markers import Marker, Segment, segment_bytes
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.tile_span import TileSpan
from sidecar_jp2.loss.coarser_steps import coarser_steps
from sidecar_jp2.loss.dropped_planes import Planes

_KEPT = frozenset({Marker.SIZ, Marker.CAP, Marker.COD, Marker.COC, Marker.QCD, Marker.QCC, Marker.RGN})
_LEFT_OUT = frozenset({Marker.TLM, Marker.PLM, Marker.PRF, Marker.CPF, Marker.CRG, Marker.COM})
"""Segments that decoding does not need; TLM and PLM would no longer be true."""
_KNOWN = _KEPT | _LEFT_OUT

SOP_USED = 2
"""The flag in Scod that allows SOP segments (T.800 table A.13)."""


def is_reducible(header: MainHeader) -> bool:
    """Return whether every segment of a main header can be rewritten: no POC, no PPM, nothing of Part 2 or twice."""
    return header.regular and all(segment.marker in _KNOWN for segment in header.segments)


def _keeps_order(header: MainHeader, level: int, x: TileSpan, y: TileSpan) -> bool:
    """Return whether the packets of the remaining resolutions keep their order after `level` halvings.

    Progressions by position compare positions on the reference grid (T.800 B.12.1.3 to B.12.1.5). Halving is exact for
    the positions of precincts, but not for the edge of a tile, where precincts cut by that edge are counted.
    """
    if header.progression in (Progression.LRCP, Progression.RLCP):
        return True
    alike = len({(part.dx, part.dy) for part in header.geometry.components}) == 1
    if header.progression == Progression.RPCL and alike and len({code.precincts for code in header.coding}) == 1:
        return True
    return not any(start % (1 << level) for start, _ in (*x.extents, *y.extents))


def can_reduce(header: MainHeader, level: int, x: TileSpan, y: TileSpan) -> bool:
    """Return whether the tiles of two spans decode to the same samples with `level` resolutions fewer."""
    return _has_samples(header, level, x, y) and _keeps_order(header, level, x, y)


def _has_samples(header: MainHeader, level: int, x: TileSpan, y: TileSpan) -> bool:
    """Return whether every component has samples in the smaller tiles. OpenJPEG refuses them otherwise."""
    samplings = (
        (x, {part.dx for part in header.geometry.components}),
        (y, {part.dy for part in header.geometry.components}),
    )
    return all(
        ceil_div(ceil_div(start, 1 << level), step) < ceil_div(ceil_div(stop, 1 << level), step)
        for span, steps in samplings
        for step in steps
        for start, stop in span.extents
    )


def reduced_main_header(
    header: MainHeader,
    dropped: int,
    x: TileSpan,
    y: TileSpan,
    *,
    marked: bool,
    progression: Progression | None = None,
    planes: Planes | None = None,
) -> bytes:
    """Return SOC and the segments for the tiles of two (reduced) spans, without the `dropped` finest resolutions.

    If `marked`, the header allows SOP before packets even if the original does not. The progression is the original's
    unless another is given. The quantization of irreversible components leaves out `planes`.
    """
    style = SOP_USED if marked else 0
    order = header.progression if progression is None else progression
    segments = b"".join(_segments(header, dropped, x, y, style, order))
    if planes and not any(coding.reversible for coding in header.coding):
        segments = b"".join(_segments(header, dropped, x, y, style, order, lowered=True)) + coarser_steps(
            header, planes
        )
    return struct.pack(">H", Marker.SOC) + segments


def _segments(
    header: MainHeader,
    dropped: int,
    x: TileSpan,
    y: TileSpan,
    style: int,
    progression: Progression,
    *,
    lowered: bool = False,
) -> Iterator[bytes]:
    wide = len(header.coding) > 256  # noqa: PLR2004  # Ccoc and Cqcc have two bytes then (T.800 A.6.2)
    for segment in header.segments:
        if segment.marker == Marker.SIZ:
            sizes = (x.image[1], y.image[1], x.image[0], y.image[0], x.size, y.size, x.origin, y.origin)
            yield segment_bytes(Marker.SIZ, segment.data[:2] + struct.pack(">8I", *sizes) + segment.data[34:])
        elif segment.marker == Marker.COD:
            fewer = _fewer_levels(segment, dropped, wide=wide)
            yield segment_bytes(Marker.COD, bytes([fewer[0] | style, progression]) + fewer[2:])
        elif segment.marker == Marker.COC:
            yield segment_bytes(Marker.COC, _fewer_levels(segment, dropped, wide=wide))
        elif segment.marker in (Marker.QCD, Marker.QCC) and lowered:
            continue
        elif segment.marker in (Marker.QCD, Marker.QCC) and dropped:
            yield segment_bytes(segment.marker, _fewer_steps(segment, dropped, wide=wide))
        elif segment.marker in _KEPT:
            yield segment_bytes(segment.marker, segment.data)


def _fewer_levels(segment: Segment, dropped: int, *, wide: bool) -> bytes:
    """Return COD or COC with fewer levels and without the precincts of the finest resolutions, which come last."""
    at = 5 if segment.marker == Marker.COD else 2 + wide
    precincts = segment.data[at + 5 :]
    return (
        segment.data[:at]
        + bytes([segment.data[at] - dropped])
        + segment.data[at + 1 : at + 5]
        + precincts[: max(0, len(precincts) - dropped)]
    )


def _fewer_steps(segment: Segment, dropped: int, *, wide: bool) -> bytes:
    """Return QCD or QCC without the steps of the finest subbands, which come last; style 1 has a single step."""
    at = 0 if segment.marker == Marker.QCD else 1 + wide
    size = (3, 0, 6)[segment.data[at] & 31]
    return segment.data[: len(segment.data) - size * dropped]
