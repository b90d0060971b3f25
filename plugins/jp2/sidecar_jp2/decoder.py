"""The decoder: opening JPEG 2000 files and checking what their headers declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeAlias

from sidecar.plugin import Blob, ByteRange, Malformed, Unsupported
from sidecar_jp2.color.channels import make_color_model
from sidecar_jp2.extract.reduced_header import is_reducible
from sidecar_jp2.format.boxes import read_container
from sidecar_jp2.format.header_blocks import BlockCachedBlob
from sidecar_jp2.format.main_header import MainHeader, read_main_header
from sidecar_jp2.format.markers import Incomplete, Marker, segments_before
from sidecar_jp2.format.metadata import read_orientation
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.proven import decode_unit
from sidecar_jp2.reader import Extractor, Jp2Reader, OpenedImage

ExtractorFactory: TypeAlias = Callable[[Blob, MainHeader, int], Extractor]
"""Makes the extractor of a blob from the blob, its main header and the end of its codestream."""
SIGNATURES = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
"""The signature box (ITU-T T.800 I.5.1), and SOC followed by SIZ (A.4.1, A.5.1)."""
MAX_COORDINATE = (1 << 31) - 1
"""OpenJPEG's coordinates on the reference grid are signed."""
MIN_TILE_BYTES = 14
"""The least a tile takes: SOT and SOD (ITU-T T.800 A.4.2, A.4.3)."""
MAX_POINTS_PER_BYTE = 1 << 20
"""Grid points for each byte of the codestream; even an empty image has far fewer."""
TWO_BYTE_INDEX = 257
"""With this many components or more, COC names its component in two bytes (T.800 table A.22)."""
TILE_HEADER_BYTES = 4096
"""How much of the first tile-part's header is examined."""


class Jp2Decoder:
    """The Decoder of JP2, JPX and JPH files and of bare codestreams."""

    name = "jp2"
    suffixes: ClassVar[frozenset[str]] = frozenset({"jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jph", "jhc"})

    def __init__(
        self,
        opj: OpenJpeg,
        *,
        alpha: bool = True,
        alpha_is_optional: bool = False,
        extractors: ExtractorFactory | None = None,
    ) -> None:
        self._opj = opj
        self._alpha = alpha
        self._alpha_is_optional = alpha_is_optional
        self._extractors = extractors

    def recognizes(self, head: bytes) -> bool:
        """Report whether a file may be a JP2, JPX or JPH, or a bare codestream."""
        return head.startswith(SIGNATURES)

    def open(self, blob: Blob) -> Jp2Reader:
        """Read the boxes and the main header. Raises Unsupported, Malformed, SourceError."""
        head = BlockCachedBlob(blob)
        container = read_container(head)
        header = read_main_header(head, container.codestream.start)
        _check_declared_sizes(header, container.codestream)
        color = make_color_model(container.color, header.geometry.components, alpha=self._alpha)
        first = _first_tile_part(head, header)
        extractor = self._extractors(blob, header, container.codestream.stop) if self._extractors else None
        indexed = extractor is not None and first.packet_lengths and is_reducible(header)
        unit = decode_unit(header, first.markers)
        orientation = read_orientation(head, container.codestream.start)
        image = OpenedImage(
            blob, container.codestream, header, first.levels, color, unit, indexed, orientation, self._alpha_is_optional
        )
        return Jp2Reader(image, self._opj, extractor)


def _check_declared_sizes(header: MainHeader, span: ByteRange) -> None:
    """Reject headers that declare more tiles or pixels than the file could hold (a decompression bomb)."""
    geometry, size = header.geometry, span.stop - span.start
    if header.stop > span.stop:
        raise Malformed("jp2c: the main header is longer than its box")
    if geometry.columns * geometry.rows * MIN_TILE_BYTES > size:
        raise Malformed(f"SIZ: {geometry.columns}x{geometry.rows} tiles in {size} bytes")
    if (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0) > MAX_POINTS_PER_BYTE * size:
        raise Malformed(f"SIZ: {geometry.x1 - geometry.x0}x{geometry.y1 - geometry.y0} points in {size} bytes")
    if max(geometry.x1, geometry.y1) > MAX_COORDINATE:
        raise Unsupported("SIZ: coordinates beyond 31 bits")


class _FirstTilePart(NamedTuple):
    """What the header of the first tile-part declares; encoders write all of them alike."""

    levels: int
    """How many times the whole image can be halved: tiles may have fewer levels than the main header declares."""
    packet_lengths: bool
    """Whether PLT says where each packet is (ITU-T T.800 A.7.3)."""
    markers: frozenset[int]
    """The markers of its segments."""


def _first_tile_part(blob: BlockCachedBlob, header: MainHeader) -> _FirstTilePart:
    """Examine the first tile-part; OpenJPEG refuses files whose other tiles have fewer levels."""
    levels, markers = header.levels, set[int]()
    try:
        for segment in segments_before(Marker.SOD, blob.slice(header.stop, header.stop + TILE_HEADER_BYTES), 12):
            if segment.marker == Marker.COD:
                levels = min(levels, segment.data[5])
            elif segment.marker == Marker.COC:
                levels = min(levels, segment.data[2 if len(header.coding) < TWO_BYTE_INDEX else 3])
            markers.add(segment.marker)
    except Incomplete:
        # Nothing but PLT makes the header of a tile-part that long.
        markers.add(Marker.PLT)
    except IndexError:
        pass
    return _FirstTilePart(levels, Marker.PLT in markers, frozenset(markers))
