"""Pictures in strips, as labels are: where strips lie, and from their bytes to pixels of RGB, 8 bits each.

TIFF 6.0 sections 3, 13 (LZW), 14 (differencing) and 22 with Technical Note 2 (JPEG); Deflate as Adobe registered it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias

import numpy as np

from sidecar.plugin import Blob, Buffer, ByteRange, DecodeError, Pixels, Size, Unsupported
from sidecar_tiff import lzw, tags
from sidecar_tiff.codecs import JpegCodec
from sidecar_tiff.pages import Numbers, Page
from sidecar_tiff.slide import StoredLevel, coding_of, is_plain, size_of
from sidecar_tiff.turbo import Turbo

_MOST_PIXELS: Final = 1 << 24
"""Of a picture: some are one strip, which is decoded whole."""
_CHANNELS: Final = 3
_EXPANDED: Final = 2
"""Bytes of a compressed strip for each byte of its pixels, at most: LZW makes noise half as long again."""
_HEADROOM: Final = 1 << 16
_Expand: TypeAlias = Callable[[Buffer, int], bytes | bytearray]
"""Returns the bytes that were packed, so many at most. Raises DecodeError."""
_MOST_LZW: Final = 1 << 22
"""Bytes of a picture by LZW: Python decodes two megabytes in a second, in which it does nothing else."""


class StripCodec(Protocol):
    """Decodes strips of a picture."""

    @property
    def strip_bytes(self) -> int:
        """The memory that decoding one takes, beside its pixels."""
        ...

    def decode(self, strip: Buffer, into: Pixels) -> None:
        """Decode a strip into an array of its size, (rows, columns, 3). Raises DecodeError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """A picture in strips."""

    size: Size
    rows: int
    """Of each strip; the last may have fewer."""
    places: Numbers = field(repr=False)
    lengths: Numbers = field(repr=False)
    codec: StripCodec = field(repr=False)

    def place(self, index: int) -> ByteRange:
        """Return where a strip lies."""
        start = int(self.places[index])
        return ByteRange(start, start + int(self.lengths[index]))

    def decode(self, index: int, strip: Buffer) -> Pixels:
        """Return the pixels of a strip. Raises DecodeError."""
        rows = min(self.rows, self.size.height - index * self.rows)
        pixels: Pixels = np.empty((rows, self.size.width, _CHANNELS), np.uint8)
        self.codec.decode(strip, pixels)
        return pixels


def strips_of(page: Page, blob: Blob, turbo: Turbo) -> Strips:
    """Return a directory's picture. Raises Unsupported if it is not in strips, or of another kind than labels are."""
    size = size_of(page, tags.WIDTH, tags.LENGTH)
    rows = min(page.number(tags.ROWS_PER_STRIP, size.height), size.height)
    nothing = np.empty(0, np.uint32)
    places, lengths = (page.lists.get(tag, nothing) for tag in (tags.STRIP_OFFSETS, tags.STRIP_BYTES))
    if not rows or size.area > _MOST_PIXELS or not len(places) == len(lengths) == -(-size.height // rows):
        raise Unsupported(f"a picture of {size.width} x {size.height} pixels in {len(places)} strips of {rows} rows")
    longest = _EXPANDED * _CHANNELS * size.width * rows + _HEADROOM
    for start, length in zip(places.tolist(), lengths.tolist(), strict=True):
        if not 0 < length <= longest or start + length > blob.size:
            raise Unsupported(f"a strip of {length} bytes at {start}")
    if page.number(tags.COMPRESSION, tags.PLAIN) == tags.LZW and (coded := int(lengths.sum())) > _MOST_LZW:
        raise Unsupported(f"a picture of {coded} bytes by LZW, which would take seconds")
    return Strips(size, rows, places, lengths, _codec(page, size, rows, int(lengths.max()), turbo))


def _codec(page: Page, size: Size, rows: int, longest: int, turbo: Turbo) -> StripCodec:
    compression = page.number(tags.COMPRESSION, tags.PLAIN)
    if compression == tags.JPEG:
        return _JpegStrips(page, size, rows, longest, turbo)
    expand = _EXPANDERS.get(compression)
    difference = page.number(tags.PREDICTOR, tags.PREDICTOR_NONE)
    rgb = is_plain(page) and (page.number(tags.PHOTOMETRIC, 0), page.number(tags.SAMPLES_PER_PIXEL, 1)) == (
        tags.RGB,
        _CHANNELS,
    )
    if expand is None or not rgb or difference not in (tags.PREDICTOR_NONE, tags.PREDICTOR_HORIZONTAL):
        raise Unsupported("strips of another kind than 8 bit RGB, plain or by LZW, Deflate or JPEG")
    return _PackedStrips(expand, difference == tags.PREDICTOR_HORIZONTAL, longest)


class _JpegStrips:
    """Strips that are JPEG files but for their tables; the last one has fewer rows."""

    def __init__(self, page: Page, size: Size, rows: int, longest: int, turbo: Turbo) -> None:
        whole = StoredLevel(
            size=size,
            downsample=1.0,
            tile=Size(size.width, rows),
            coding=coding_of(page, aperio=False),
            tables=page.texts.get(tags.JPEG_TABLES, b""),
            places=np.zeros(1, np.uint32),
            lengths=np.array([longest]),
        )
        last = replace(whole, tile=Size(size.width, (size.height - 1) % rows + 1))
        self._codecs = {level.tile.height: JpegCodec(level, turbo) for level in (whole, last)}
        self.strip_bytes = self._codecs[rows].tile_bytes

    def decode(self, strip: Buffer, into: Pixels) -> None:
        with self._codecs[len(into)].decoding() as decode:
            decode(strip, into)


@dataclass(frozen=True, slots=True)
class _PackedStrips:
    """Strips of samples that are packed without loss, or not at all."""

    expand: _Expand
    differenced: bool
    longest: int

    @property
    def strip_bytes(self) -> int:
        return lzw.TABLE_BYTES + self.longest

    def decode(self, strip: Buffer, into: Pixels) -> None:
        samples = np.frombuffer(self.expand(strip, into.size), np.uint8)
        if len(samples) < into.size:
            raise DecodeError(f"a strip of {len(samples)} bytes instead of {into.size}")
        shaped = samples[: into.size].reshape(into.shape)
        if self.differenced:
            np.cumsum(shaped, axis=1, dtype=np.uint8, out=into)
        else:
            into[:] = shaped


def _inflated(strip: Buffer, length: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(strip, length)
    except zlib.error as error:
        raise DecodeError(f"Deflate: {error}") from error


_EXPANDERS: Final[Mapping[int, _Expand]] = {
    tags.PLAIN: lambda strip, _: bytes(strip),
    tags.LZW: lzw.decode,
    tags.DEFLATE: _inflated,
    tags.OLD_DEFLATE: _inflated,
}
