"""From the bytes of a tile to its pixels, whole or reduced: one decoder of tiles for each kind of coding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
from sidecar_turbojpeg.segments import profile_segments

from sidecar.plugin import Buffer, ByteRange, DecodeError, EncodedTile, Pixels, Rect
from sidecar_tiff import jpeg
from sidecar_tiff.jpeg2000 import Jpeg2000
from sidecar_tiff.slide import Coding, StoredLevel
from sidecar_tiff.turbo import Session, Turbo

DecodeTile: TypeAlias = Callable[[Buffer, Pixels], None]
"""Decodes a tile into an array of its size at 1:1, 1:2, 1:4 or 1:8. Raises DecodeError."""

# Measured: libjpeg-turbo's rows of blocks and tables of a sequential image, beside the stream made of a tile.
_JPEG_BYTES: Final = 256 << 10
_JPEG_ROW_BYTES: Final = 256
_LONGEST_HEAD: Final = 4096
"""Bytes of a tile's head, to be remembered."""
# OpenJPEG's samples, coefficients and code blocks, of three components.
_JPEG_2000_PIXEL_BYTES: Final = 40
# Measured on one core of a small virtual machine, and half as much again.
_JPEG_SECONDS: Final = 12e-9
_JPEG_2000_SECONDS: Final = 250e-9


class TileCodec(Protocol):
    """Decodes tiles of a level."""

    @property
    def reductions(self) -> int:
        """How often a tile can be halved while it is decoded."""
        ...

    @property
    def tile_bytes(self) -> int:
        """The memory that decoding one tile takes, beside its pixels."""
        ...

    @property
    def pixel_seconds(self) -> float:
        """Processor seconds for each pixel that is stored."""
        ...

    @contextmanager
    def decoding(self) -> Iterator[DecodeTile]:
        """Lend what decodes tiles one after the other, in one native thread."""
        ...


class JpegCodec:
    """JPEG tiles by libjpeg-turbo, which reduces them by decoding smaller blocks of their lowest frequencies."""

    pixel_seconds: Final = _JPEG_SECONDS

    def __init__(self, level: StoredLevel, turbo: Turbo) -> None:
        self._tile = level.tile
        self._coding = level.coding
        self._components = 1 if level.coding is Coding.JPEG_GREY else 3
        self._turbo = turbo
        self._begin = jpeg.opening(level.coding, level.tables)
        # A tile's size at 1:8 has to be a whole number of pixels.
        self.reductions = next(n for n in (3, 2, 1, 0) if not (level.tile.width | level.tile.height) % (1 << n))
        self.tile_bytes = _JPEG_BYTES + 2 * level.longest + _JPEG_ROW_BYTES * level.tile.width
        self._whole = b""
        """The head of the last tile that was passed on; those of a slide mostly are the same."""

    @contextmanager
    def decoding(self) -> Iterator[DecodeTile]:
        """Return what decodes tiles one after the other, with one decompressor for all of them."""
        with self._turbo.session() as session:

            def decode(tile: Buffer, into: Pixels) -> None:
                self._decode(session, tile, into)

            yield decode

    def _decode(self, session: Session, tile: Buffer, into: Pixels) -> None:
        session.decode(jpeg.stream(self._begin, tile, self.checked(tile)), into)

    def passed(self, region: Rect, place: ByteRange, icc: bytes | None) -> JpegTile:
        """Return a tile as it is passed on."""
        prefix = self._with_profile(icc) if icc else self._begin
        return JpegTile(region=region, media_type="image/jpeg", ranges=(place,), prefix=prefix, codec=self)

    def _with_profile(self, icc: bytes) -> bytes:
        before = len(jpeg.opening(self._coding, b""))
        return self._begin[:before] + profile_segments(icc) + self._begin[before:]

    def file(self, prefix: bytes, tile: Buffer) -> bytes:
        """Return the file that a tile is passed on as. Raises DecodeError if its head keeps it from being shown."""
        head = self.checked(tile)
        self._check_whole(bytes(memoryview(tile)[head.start : head.scan]))
        return jpeg.stream(prefix, tile, head)

    def _check_whole(self, head: bytes) -> None:
        """Raise DecodeError if tables are missing or broken: what is decoded fails by that, what is passed on must too.

        libjpeg-turbo is asked for the smallest picture of a scan that ends at once, which takes it no time.
        """
        if head == self._whole:
            return
        shrunk = 1 << self.reductions
        with self._turbo.session() as session:
            into = np.empty((self._tile.height // shrunk, self._tile.width // shrunk, 3), np.uint8)
            session.decode(b"".join((self._begin, head, jpeg.EOI)), into)
        self._whole = head if len(head) <= _LONGEST_HEAD else b""

    def checked(self, tile: Buffer) -> jpeg.TileHead:
        """Return what a tile's header says. Raises DecodeError if that is not what its directory says."""
        head = jpeg.head_of(tile)
        if head.size != self._tile or head.components != self._components:
            raise DecodeError(f"JPEG tile: {head.size} of {head.components} components instead of {self._tile}")
        return head


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegTile(EncodedTile):
    """A stored JPEG tile, which becomes a file of its own."""

    codec: JpegCodec = field(repr=False, compare=False)

    def file(self, data: Sequence[Buffer]) -> bytes:
        """Return the file: the same scan, behind markers that say what it is. Raises DecodeError."""
        (tile,) = data
        return self.codec.file(self.prefix, tile)


class Jpeg2000Codec:
    """JPEG 2000 tiles by the plugin jp2's OpenJPEG, which leaves the finest resolutions out."""

    pixel_seconds: Final = _JPEG_2000_SECONDS

    def __init__(self, level: StoredLevel, decoder: Jpeg2000, levels: int) -> None:
        """`levels`: how often the tile that was looked at can be halved."""
        self._level = level
        self._decoder = decoder
        even = next(n for n in (3, 2, 1, 0) if not (level.tile.width | level.tile.height) % (1 << n))
        self.reductions = min(levels, even)
        self.tile_bytes = _JPEG_2000_PIXEL_BYTES * level.tile.area + level.longest + _JPEG_BYTES

    @contextmanager
    def decoding(self) -> Iterator[DecodeTile]:
        """Lend the decoder, which has no state."""

        def decode(tile: Buffer, into: Pixels) -> None:
            reduce = (self._level.tile.width // into.shape[1]).bit_length() - 1
            self._decoder.decode(tile, self._level.tile, reduce, into, ycc=self._level.coding is Coding.JPEG_2000_YCC)

        yield decode


def blank(into: Pixels) -> None:
    """Show that nothing was scanned: white, as glass is."""
    np.copyto(into, np.uint8(255))
