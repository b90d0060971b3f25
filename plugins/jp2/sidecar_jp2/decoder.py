"""Opening JPEG 2000 files."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

from sidecar.errors import Malformed, Unsupported
from sidecar.interfaces import Blob
from sidecar.model import ByteRange
from sidecar_jp2.boxes import read_container
from sidecar_jp2.channels import picture
from sidecar_jp2.codestream import MainHeader, read_main_header
from sidecar_jp2.markers import Incomplete, Marker, segments_before
from sidecar_jp2.openjpeg import OpenJpeg
from sidecar_jp2.peek import Peek
from sidecar_jp2.reader import Cutter, Jp2Reader, Source

Cutters: TypeAlias = Callable[[Blob, MainHeader, int], Cutter]
"""From a blob, its main header and the end of its codestream to what cuts small codestreams out of it."""
FARTHEST = (1 << 31) - 1
"""OpenJPEG's coordinates on the reference grid are signed."""
TILE_BYTES = 14
"""The least a tile takes: SOT and SOD (ITU-T T.800 A.4.2, A.4.3)."""
MOST_POINTS = 1 << 20
"""Pixels to each byte of the codestream: the emptiest picture that an encoder makes stays far below."""
LONG_INDEX = 257
"""From so many components on, COC names its component in two bytes (T.800 table A.22)."""
TILE_HEADER = 4096
"""How much of the first tile-part's header is looked at."""


class Jp2Decoder:
    """The Decoder of JP2, JPX, JPH and bare codestreams."""

    name = "jp2"
    suffixes: ClassVar[frozenset[str]] = frozenset({"jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jph", "jhc"})

    def __init__(self, opj: OpenJpeg, *, alpha: bool = True, cutters: Cutters | None = None) -> None:
        self._opj = opj
        self._alpha = alpha
        self._cutters = cutters

    def open(self, blob: Blob) -> Jp2Reader:
        """Read boxes and main header. Raises Unsupported, Malformed, SourceError."""
        peek = Peek(blob)
        container = read_container(peek)
        header = read_main_header(peek, container.codestream.start)
        _check_claims(header, container.codestream)
        chosen = picture(container.colour, header.geometry.components, alpha=self._alpha)
        source = Source(blob, container.codestream, header, _levels(peek, header), chosen)
        cutter = self._cutters(blob, header, container.codestream.stop) if self._cutters else None
        return Jp2Reader(source, self._opj, cutter)


def _check_claims(header: MainHeader, span: ByteRange) -> None:
    """Refuse headers whose claims would fill memory before the first byte of data is missed."""
    geometry, size = header.geometry, span.stop - span.start
    if header.stop > span.stop:
        raise Malformed("jp2c: the main header is longer than its box")
    if geometry.columns * geometry.rows * TILE_BYTES > size:
        raise Malformed(f"SIZ: {geometry.columns}x{geometry.rows} tiles in {size} bytes")
    if (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0) > MOST_POINTS * size:
        raise Malformed(f"SIZ: {geometry.x1 - geometry.x0}x{geometry.y1 - geometry.y0} points in {size} bytes")
    if max(geometry.x1, geometry.y1) > FARTHEST:
        raise Unsupported("SIZ: coordinates beyond 31 bits")


def _levels(peek: Peek, header: MainHeader) -> int:
    """How many times all can be halved. A tile may have fewer levels than the main header says.

    Encoders that do so do it in every tile, so the first one is asked; OpenJPEG refuses what is left.
    """
    levels = header.levels
    try:
        for segment in segments_before(Marker.SOD, peek.slice(header.stop, header.stop + TILE_HEADER), 12):
            if segment.marker == Marker.COD:
                levels = min(levels, segment.data[5])
            elif segment.marker == Marker.COC:
                levels = min(levels, segment.data[2 if len(header.coding) < LONG_INDEX else 3])
    except (Incomplete, IndexError):
        return levels
    return levels
