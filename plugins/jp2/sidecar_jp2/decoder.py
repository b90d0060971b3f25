"""The decoder: opening JPEG 2000 files and checking what their headers declare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from sidecar.plugin import Blob, ByteRange, Malformed, Native, StoreState, Unsupported, run_inline
from sidecar_jp2.color.channels import ColorModel, make_color_model
from sidecar_jp2.extract.extractor import SMALL_FILE
from sidecar_jp2.extract.reduced_header import is_reducible
from sidecar_jp2.extraction import Extractor
from sidecar_jp2.format.cut_grid import is_cuttable
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.tile_part_header import tile_part_markers
from sidecar_jp2.head import take_head
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.index.packet_order import MAX_PACKETS
from sidecar_jp2.index.packet_selection import PacketSelector
from sidecar_jp2.lossy import LossRule, can_lose
from sidecar_jp2.opened_image import OpenedImage
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.estimate import Estimate
from sidecar_jp2.openjpeg.structures import Structures
from sidecar_jp2.proven import DecodeUnit, decode_unit
from sidecar_jp2.reader import Jp2Reader

ExtractorFactory: TypeAlias = Callable[[Blob, MainHeader, int], Extractor]
"""Makes the extractor of a blob from the blob, its main header and the end of its codestream."""
SIGNATURES = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
"""The signature box (ITU-T T.800 I.5.1), and SOC followed by SIZ (A.4.1, A.5.1)."""
MAX_COORDINATE = (1 << 31) - 1
"""OpenJPEG's coordinates on the reference grid are signed."""
MIN_TILE_BYTES = 14
"""The least a tile takes: SOT and SOD (ITU-T T.800 A.4.2, A.4.3)."""
FREE_POINTS, POINTS_PER_BYTE = 1 << 26, 1 << 12
"""Grid points that a file may declare whatever its length, as white pages do in a few hundred bytes, and for each byte
of its codestream; photographs have 10 at most."""


class Jp2Decoder:
    """The Decoder of JP2, JPX and JPH files and of bare codestreams."""

    name = "jp2"
    suffixes: ClassVar[frozenset[str]] = frozenset({"jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jph", "jhc"})

    def __init__(
        self,
        opj: OpenJpeg,
        native: Native = run_inline,
        *,
        alpha: bool = True,
        alpha_is_optional: bool = False,
        extractors: ExtractorFactory | None = None,
        kept_bytes: int = 0,
        rule: LossRule | None = None,
        kept: KeptImages | None = None,
    ) -> None:
        self._opj = opj
        self._native = native
        self._alpha = alpha
        self._alpha_is_optional = alpha_is_optional
        self._extractors = extractors
        self._kept_bytes = kept_bytes
        self._rule = rule
        self._kept = kept

    @property
    def loss(self) -> str:
        """All that changes what tolerant windows lose, see MayLose."""
        return self._rule.text if self._rule else ""

    @property
    def kept_bytes(self) -> int:
        """The bytes of what is kept between requests: packet indexes."""
        return self._kept_bytes

    @property
    def learning(self) -> bool:
        """Whether it is about to be measured what may be lost of an image, see Learns."""
        return self._rule is not None and self._rule.learning

    def recognizes(self, head: bytes) -> bool:
        """Report whether a file may be a JP2, JPX or JPH, or a bare codestream."""
        return head.startswith(SIGNATURES)

    def open(self, blob: Blob) -> Jp2Reader:
        """Read the boxes and the main header. Raises Unsupported, DecodeError, Malformed, SourceError."""
        head = take_head(blob, self._native, self._kept)
        header, first, span = head.header, head.first, head.codestream
        if max(header.stop, first.stop) > span.stop or not (head.end_marked or span.stop == blob.size):
            # The length of jp2c is wrong, perhaps. OpenJPEG never looks at it.
            span = ByteRange(span.start, blob.size)
        structures = check_declared_sizes(header, span)
        color = make_color_model(head.color, header.geometry.components, alpha=self._alpha)
        _check_first_samples(header, color)
        extractor = self._extractors(blob, header, span.stop) if self._extractors else None
        ordered = MAX_PACKETS if extractor is not None and is_reducible(header) else 0
        indexed = bool(ordered and first.packet_lengths and PacketSelector(header).selectable)
        unit = decode_unit(header, first.markers | self._tile_part_markers(blob, header, span))
        cuttable = indexed and unit == DecodeUnit.WINDOW and is_large(blob, span, header) and is_cuttable(header)
        estimate = Estimate(header, structures, span.length, ordered, cut=cuttable)
        image = OpenedImage(
            blob,
            span,
            header,
            estimate,
            first.levels,
            color,
            unit,
            indexed,
            first.packet_lengths,
            head.orientation,
            self._alpha_is_optional,
            may_lose=indexed and unit == DecodeUnit.WINDOW and can_lose(header, color),
            cuttable=cuttable,
        )
        return Jp2Reader(image, self._opj, extractor, self._rule)

    def examine_stores(self) -> Sequence[StoreState]:
        """Ask the places at which indexes are kept, see Indexes."""
        return self._kept.examine() if self._kept else []

    def is_indexed(self, blob: Blob) -> bool:
        """Report whether all is kept of a file, see Indexes."""
        return self._kept is not None and self._kept.is_complete(blob)

    def index(self, blob: Blob) -> None:
        """Learn and keep the packets of a file, see Indexes. Raises as `open`."""
        self.open(blob).extractor.learn()

    def close(self) -> None:
        """Keep what has not been kept yet, and close connections."""
        if self._kept:
            self._kept.close()

    def _tile_part_markers(self, blob: Blob, header: MainHeader, span: ByteRange) -> frozenset[int]:
        """Return the markers in all tile-part headers of a small local file, which nobody makes an index of."""
        if blob.path is None or span.length >= SMALL_FILE or header.geometry.columns * header.geometry.rows == 1:
            return frozenset()
        (data,) = blob.read([ByteRange(header.stop, span.stop)])
        return self._native(tile_part_markers, data)


def is_large(blob: Blob, span: ByteRange, header: MainHeader) -> bool:
    """Return whether windows of a codestream with one tile are extracted, however small they are."""
    return header.geometry.columns * header.geometry.rows == 1 and (not blob.path or span.length > SMALL_FILE)


def check_declared_sizes(header: MainHeader, span: ByteRange) -> Structures:
    """Refuse decompression bombs: headers that make decoders claim memory or time for what the file cannot hold.

    Returns what OpenJPEG makes for such a header. Raises Malformed, Unsupported.
    """
    geometry, size = header.geometry, span.stop - span.start
    if (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0) > FREE_POINTS + POINTS_PER_BYTE * size:
        raise Malformed(f"SIZ: {geometry.x1 - geometry.x0}x{geometry.y1 - geometry.y0} points in {size} bytes")
    structures = Structures.of(header)
    structures.check(size)
    if max(geometry.x1, geometry.y1) > MAX_COORDINATE:
        raise Unsupported("SIZ: coordinates beyond 31 bits")
    return structures


def _check_first_samples(header: MainHeader, color: ColorModel) -> None:
    """Hand over images whose first column or row lies before the first sample of a component.

    opj_decompress leaves such pixels at 0, which makes coloured edges.
    """
    geometry = header.geometry
    for index, channel in enumerate(color.channels):
        if geometry.x0 % channel.component.dx or geometry.y0 % channel.component.dy:
            raise Unsupported(f"SIZ: the first pixels have no samples of channel {index}")
