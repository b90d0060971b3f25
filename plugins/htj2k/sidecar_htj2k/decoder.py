"""The decoder: opening HTJ2K files, and refusing at once what OpenJPH would decode wrongly."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import ClassVar

from sidecar_jp2.color.channels import make_color_model
from sidecar_jp2.decoder import MIN_TILE_BYTES, SIGNATURES, Jp2Decoder, check_declared_sizes
from sidecar_jp2.extract.reduced_header import is_reducible
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.markers import Marker, name_of
from sidecar_jp2.format.tile_part_header import NEUTRAL
from sidecar_jp2.head import FirstTilePart, Head, head_for_all
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.structures import Structures

from sidecar.plugin import Blob, ByteRange, DecodeError, Malformed, Native, StoreState, Unsupported, run_inline
from sidecar_htj2k.openjph import OpenJph
from sidecar_htj2k.reader import Htj2kReader, OpenedImage

HT_CAPABILITY = 1 << 14
"""The bit of Rsiz that announces T.814 in CAP (T.814 A.2)."""
CAP_OF_HT = struct.pack(">I", 1 << 17)
"""Pcap with nothing but part 15."""
MANY_SETS, REGIONS, MIXED = 0x2000, 0x1000, 0xC000
"""Ccap15 (T.814 A.3): more than one HT set in a block; regions of interest; blocks of both kinds."""
MOST_PLANES = 30
"""Bit planes (ITU-T T.800 E-2) of 9-7 subbands. OpenJPH decodes those of more into wider samples than it has room for
after that wavelet, and writes beyond it: the process crashes (OpenJPH 0.26.3, found by fuzzing)."""
BLOCK_STYLES = frozenset({0x40, 0x48})
"""HT code blocks, with or without vertically causal contexts (T.814 table A.4)."""


class Htj2kDecoder:
    """The Decoder of JP2, JPX and JPH files and of bare codestreams with HT code blocks."""

    name = "htj2k"
    suffixes: ClassVar[frozenset[str]] = Jp2Decoder.suffixes

    def __init__(
        self,
        codec: OpenJph,
        indexes: IndexCache,
        native: Native = run_inline,
        *,
        alpha: bool = True,
        alpha_is_optional: bool = False,
    ) -> None:
        self._codec = codec
        self._indexes = indexes
        self._native = native
        self._alpha = alpha
        self._alpha_is_optional = alpha_is_optional

    @property
    def kept_bytes(self) -> int:
        """The bytes of packet indexes."""
        return self._indexes.limit

    def recognizes(self, head: bytes) -> bool:
        """Report whether a file may be a JP2, JPX or JPH, or a bare codestream."""
        return head.startswith(SIGNATURES)

    def open(self, blob: Blob) -> Htj2kReader:
        """Read the boxes and the main header. Raises SourceError; and Unsupported for all that is left to `jp2`.

        That is also what is broken: what can still be shown of such a file, `jp2` knows.
        """
        try:
            # Whoever is asked next, which is `jp2`, finds the head read.
            with head_for_all(blob, self._native, self._indexes.kept) as head:
                image = self._examined(blob, head)
        except (DecodeError, Malformed) as error:
            raise Unsupported(str(error)) from error
        return Htj2kReader(image, self._codec, self._indexes)

    def examine_stores(self) -> Sequence[StoreState]:
        """Ask the places at which indexes are kept, see Indexes."""
        return self._indexes.kept.examine() if self._indexes.kept else []

    def is_indexed(self, blob: Blob) -> bool:
        """Report whether all is kept of a file, see Indexes."""
        return self._indexes.kept is not None and self._indexes.kept.is_complete(blob)

    def index(self, blob: Blob) -> None:
        """Learn and keep the packets of a file, see Indexes. Raises as `open`."""
        self.open(blob).learn()

    def close(self) -> None:
        """Keep what has not been kept yet, and close connections."""
        if self._indexes.kept:
            self._indexes.kept.close()

    def _examined(self, blob: Blob, head: Head) -> OpenedImage:
        header, span = head.header, head.codestream
        for reason in _reasons(header):
            raise Unsupported(reason)
        packets = _check_sizes(header, span).packets
        if not head.end_marked:
            raise Unsupported("EOC: the codestream does not end with it")
        _check_tile_part(head.first)
        color = make_color_model(head.color, header.geometry.components, alpha=self._alpha)
        lengths = head.first.packet_lengths
        return OpenedImage(blob, span, header, color, lengths, packets, head.orientation, self._alpha_is_optional)


def _reasons(header: MainHeader) -> Iterator[str]:
    """Yield why OpenJPH, or imagecodecs' use of it, does not decode a codestream, or not rightly."""
    if not all(coding.high_throughput for coding in header.coding):
        yield "no HT code blocks"
    capabilities = [segment.data for segment in header.segments if segment.marker == Marker.CAP]
    if not int.from_bytes(header.segments[0].data[:2]) & HT_CAPABILITY or len(capabilities) != 1:
        yield "HT code blocks that Rsiz and CAP do not announce"
    elif capabilities[0][:4] != CAP_OF_HT or int.from_bytes(capabilities[0][4:6]) & (MANY_SETS | REGIONS | MIXED):
        yield "HT code blocks with other capabilities"
    if not is_reducible(header) or header.has(Marker.RGN):
        yield "HT code blocks with POC, PPM, RGN or Part 2"
    if header.layers != 1:
        yield f"HT code blocks in {header.layers} layers"
    if len({*header.coding}) != 1 or header.coding[0].block_style not in BLOCK_STYLES:
        yield "HT code blocks of several styles"
    if any(each.style != 0 if header.coding[0].reversible else each.style == 0 for each in header.quantization):
        yield "HT code blocks quantized against their wavelet"
    if not header.coding[0].reversible and any(
        each.guard_bits + exponent - 1 > MOST_PLANES for each in header.quantization for exponent, _ in each.steps
    ):
        yield f"HT code blocks of more than {MOST_PLANES} bit planes"
    if any((each.dx, each.dy) != (1, 1) for each in header.geometry.components):
        yield "HT code blocks of subsampled components"


def _check_sizes(header: MainHeader, span: ByteRange) -> Structures:
    """Leave headers that declare more tiles or pixels than the file could hold to `jp2`."""
    structures = check_declared_sizes(header, span)
    if header.stop > span.stop or header.geometry.columns * header.geometry.rows * MIN_TILE_BYTES > span.length:
        raise Unsupported(f"SIZ: {header.geometry.columns}x{header.geometry.rows} tiles in {span.length} bytes")
    return structures


def _check_tile_part(first: FirstTilePart) -> None:
    """Raise Unsupported if the first tile-part is broken, or changes how its tile is coded."""
    if first.broken or not first.markers <= NEUTRAL:
        names = ", ".join(name_of(marker) for marker in sorted(first.markers - NEUTRAL))
        raise Unsupported(f"{names or 'a broken header'} in a tile-part of HT code blocks")
