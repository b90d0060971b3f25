"""The head of a file: its boxes, its main header and that of its first tile-part, read once for all decoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cachetools import LRUCache

from sidecar.plugin import Blob, Buffer, ByteRange, DecodeError, Malformed, Native, Unsupported, run_inline
from sidecar_jp2.format.boxes import read_container
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.color_boxes import ColorBoxes
from sidecar_jp2.format.header_blocks import BlockCachedBlob
from sidecar_jp2.format.main_header import MainHeader, read_main_header
from sidecar_jp2.format.markers import Incomplete, Marker, segments_before
from sidecar_jp2.format.metadata import read_orientation
from sidecar_jp2.format.tile_part_header import SOT_BYTES

TWO_BYTE_INDEX = 257
"""With this many components or more, COC names its component in two bytes (T.800 table A.22)."""
PSOT = slice(6, 10)
"""The length of a tile-part in its SOT segment (T.800 A.4.2)."""
TILE_HEADER_BYTES = 4096
"""How much of the first tile-part's header is examined."""
PASSED_ON = 8
"""Heads on their way from one decoder to the next, at most; each is of an image that is just being opened."""


@dataclass(frozen=True, slots=True)
class FirstTilePart:
    """What the header of the first tile-part declares; encoders write all of them alike."""

    levels: int
    """How many times the whole image can be halved: tiles may have fewer levels than the main header declares."""
    packet_lengths: bool
    """Whether PLT says where each packet is (ITU-T T.800 A.7.3)."""
    markers: frozenset[int]
    """The markers of its segments."""
    stop: int
    """Its end in the blob, as Psot says."""
    broken: bool
    """Whether it breaks the standard after these segments."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a file declares before its first packet."""

    codestream: ByteRange
    """As the boxes say."""
    color: ColorBoxes
    header: MainHeader
    first: FirstTilePart
    end_marked: bool
    """Whether EOC stands at the end of the codestream. True for a remote one, whose end would cost a read of its
    own."""
    orientation: int
    """How the image is to be shown, see ImageInfo."""


_passed_on: LRUCache[tuple[str, bool], Head | Exception] = LRUCache(PASSED_ON)


class KeptHeads(Protocol):
    """Where the heads of far files are kept that take more than one read."""

    def head(self, blob: Blob) -> Mapping[int, Buffer]:
        """Return the blocks of a head that are kept."""
        ...

    def note_head(self, blob: Blob, blocks: Mapping[int, Buffer]) -> None:
        """Keep the blocks of a head after the first one."""
        ...


def read_head(blob: Blob, native: Native = run_inline, kept: KeptHeads | None = None) -> Head:
    """Read a head; `native` runs what takes long. Called in a greenlet.

    Raises Unsupported if it is not JPEG 2000, or declares more than is read; Broken; Malformed; SourceError.
    """
    far = kept if blob.path is None else None
    blocks = BlockCachedBlob(blob, partial(far.head, blob) if far else None)
    container = read_container(blocks)
    span = container.codestream
    header = read_main_header(blocks, span.start)
    first = _first_tile_part(blocks, header)
    end_marked = not blob.path or blocks.slice(span.stop - 2, span.stop) == Marker.EOC.to_bytes(2)
    orientation = read_orientation(blocks, container.metadata, native)
    if far:
        far.note_head(blob, blocks.more)
    return Head(span, container.color, header, first, end_marked, orientation)


def take_head(blob: Blob, native: Native = run_inline, kept: KeptHeads | None = None) -> Head:
    """Return the head that the decoder asked before has read, or read it. Raises as `read_head`."""
    found = _passed_on.pop(_key(blob), None)
    if isinstance(found, Exception):
        raise found
    return found or read_head(blob, native, kept)


@contextmanager
def head_for_all(blob: Blob, native: Native = run_inline, kept: KeptHeads | None = None) -> Iterator[Head]:
    """Read a head for a decoder that may refuse the image. Raises as `read_head`.

    If it does, or if reading fails, the head or the error is kept for the decoder that is asked next.
    """
    head: Head | None = None
    try:
        head = read_head(blob, native, kept)
        yield head
    except (DecodeError, Malformed, Unsupported) as error:
        # Without its frames, which hold the bytes.
        _passed_on[_key(blob)] = head or error.with_traceback(None)
        raise


def _key(blob: Blob) -> tuple[str, bool]:
    return blob.etag, blob.path is None


def _first_tile_part(blob: BlockCachedBlob, header: MainHeader) -> FirstTilePart:
    """Examine the first tile-part; OpenJPEG refuses files whose other tiles have fewer levels."""
    levels, markers, broken = header.levels, set[int](), False
    data = blob.slice(header.stop, header.stop + TILE_HEADER_BYTES)
    stop = header.stop + int.from_bytes(data[PSOT])
    try:
        for segment in segments_before(Marker.SOD, data, SOT_BYTES):
            if segment.marker == Marker.COD:
                levels = min(levels, segment.data[5])
            elif segment.marker == Marker.COC:
                levels = min(levels, segment.data[2 if len(header.coding) < TWO_BYTE_INDEX else 3])
            markers.add(segment.marker)
    except Incomplete:
        # Nothing but PLT makes the header of a tile-part that long.
        markers.add(Marker.PLT)
    except (Broken, IndexError):
        broken = True  # OpenJPEG decides what can be made of it
    return FirstTilePart(levels, Marker.PLT in markers, frozenset(markers), stop, broken)
