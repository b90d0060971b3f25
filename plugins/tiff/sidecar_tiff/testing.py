"""Slides for tests and benchmarks, written tag by tag: every coding of tiles, both orders of directories and tiles.

Needs Pillow and imagecodecs (`pip install iiif-sidecar-tiff[sample]`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
from PIL import Image

from sidecar.plugin import Pixels, Size
from sidecar_tiff import tags
from sidecar_tiff.jpeg import EOI, SOI
from sidecar_tiff.places import Numbers
from sidecar_tiff.slide import Coding

_SHORT, _LONG, _LONG8 = 3, 4, 16
_CODES: Final[Mapping[int, str]] = {1: "B", 2: "s", _SHORT: "H", _LONG: "I", 7: "s", _LONG8: "Q"}
_TABLES: Final = (b"\xff\xdb", b"\xff\xc4")
_PHOTOMETRIC: Final = {Coding.JPEG_GREY: tags.GREY, Coding.JPEG_YCC: tags.YCBCR}
_COMPRESSION: Final = {Coding.JPEG_2000_RGB: tags.JPEG_2000_RGB, Coding.JPEG_2000_YCC: tags.JPEG_2000_YCC}
_SUBSAMPLING: Final = {False: 0, True: 2}


@dataclass(frozen=True, slots=True)
class Picture:
    """A directory and the tiles or strips that belong to it."""

    fields: Mapping[int, tuple[int, Any]]
    """By tag: type, and a number, some, or bytes."""
    parts: Sequence[bytes] = field(repr=False)
    lists: tuple[int, int] = (tags.TILE_OFFSETS, tags.TILE_BYTES)


def write(path: Path, pictures: Iterable[Picture], *, big: bool = False, tiles_first: bool = True) -> None:
    """Write a TIFF: each directory behind its tiles, as libtiff and Aperio do, or before them."""
    path.write_bytes(Writer(big=big).file(pictures, tiles_first=tiles_first))


class Writer:
    """Puts a file together."""

    def __init__(self, *, big: bool = False) -> None:
        self._offset, self._count, self._kind = ("Q", "Q", _LONG8) if big else ("I", "H", _LONG)
        self._file = bytearray(
            struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
        )
        self._link = len(self._file) - struct.calcsize("=" + self._offset)
        self._base = 0
        """Where the bytes begin that are put together."""

    def file(self, pictures: Iterable[Picture], *, tiles_first: bool = True) -> bytes:
        """Return the file."""
        for picture in pictures:
            lengths = [len(part) for part in picture.parts]
            if tiles_first:
                places = self._places(picture)
                self._directory(picture, places, lengths)
            else:
                size = self._size(picture)
                start = len(self._file) + size
                places = [start + sum(lengths[:index]) * bool(length) for index, length in enumerate(lengths)]
                self._directory(picture, places, lengths)
                self._file += b"".join(picture.parts)
        return bytes(self._file)

    def placed(self, picture: Picture, start: int, places: Numbers, lengths: Numbers) -> bytes:
        """Return a directory and its values as they lie at a place of a file, the tiles elsewhere."""
        other = Writer(big=self._kind == _LONG8)
        other._file = bytearray(16)  # where the place of the first directory is noted
        other._base = start - len(other._file)
        other._directory(picture, places, lengths)
        return bytes(other._file[16:])

    def link(self, data: bytes) -> int:
        """Return where in a directory the place of the next one stands."""
        (count,) = struct.unpack_from("<" + self._count, data)
        return struct.calcsize("=" + self._count) + int(count) * struct.calcsize(f"=HH{self._offset}{self._offset}")

    def _places(self, picture: Picture) -> list[int]:
        places = []
        for part in picture.parts:
            places.append(len(self._file) if part else 0)
            self._file += part
        self._file += bytes(len(self._file) % 2)
        return places

    def _size(self, picture: Picture) -> int:
        probe = Writer(big=self._kind == _LONG8)
        before = len(probe._file)
        probe._directory(picture, [0] * len(picture.parts), [0] * len(picture.parts))
        return len(probe._file) - before

    def _directory(self, picture: Picture, places: Sequence[int] | Numbers, lengths: Sequence[int] | Numbers) -> None:
        fields = {**picture.fields, picture.lists[0]: (self._kind, places), picture.lists[1]: (_LONG, lengths)}
        width = struct.calcsize(f"=HH{self._offset}{self._offset}")
        start = len(self._file)
        struct.pack_into("<" + self._offset, self._file, self._link, self._base + start)
        after = (
            self._base
            + start
            + struct.calcsize("=" + self._count)
            + width * len(fields)
            + struct.calcsize("=" + self._offset)
        )
        directory, values = bytearray(struct.pack("<" + self._count, len(fields))), bytearray()
        for tag, (kind, value) in sorted(fields.items()):
            count, data = _packed(kind, value)
            directory += struct.pack("<HH" + self._offset, tag, kind, count)
            room = struct.calcsize("=" + self._offset)
            if len(data) > room:
                directory += struct.pack("<" + self._offset, after + len(values))
                values += data + bytes(len(data) % 2)
            else:
                directory += data.ljust(room, b"\0")
        self._link = start + len(directory)
        self._file += directory + bytes(struct.calcsize("=" + self._offset)) + values


def _packed(kind: int, value: Any) -> tuple[int, bytes]:
    if isinstance(value, bytes):
        return len(value), value
    if isinstance(value, np.ndarray):
        return len(value), value.astype(f"<{_CODES[kind]}").tobytes()
    numbers = [value] if isinstance(value, int) else [*value]
    return len(numbers), struct.pack(f"<{len(numbers)}{_CODES[kind]}", *numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How levels are written."""

    coding: Coding = Coding.JPEG_YCC
    tile: int = 240
    quality: int = 85
    shared_tables: bool = False
    subsampled: bool = True
    reductions: int = 3
    """How often JPEG 2000 tiles can be halved."""


def slide(
    levels: Sequence[Pixels], making: Making, *, aperio: bool = True, icc: bytes | None = None, thumbnail: bool = True
) -> Iterator[Picture]:
    """Return the pictures of a slide, finest first: as Aperio has them, or of a plain pyramid."""
    height, width = levels[0].shape[:2]
    about = (
        f"Aperio Image Library v11.2.1 \r\n{width}x{height} ({making.tile}x{making.tile}) Q=85|AppMag = 20|MPP = 0.5"
    )
    for index, pixels in enumerate(levels):
        texts: dict[int, tuple[int, Any]] = {tags.DESCRIPTION: (2, about.encode() + b"\0")} if aperio else {}
        if icc and not index:
            texts[tags.ICC] = (7, icc)
        if not aperio:
            texts[tags.SUBFILE] = (_LONG, int(index > 0))
        yield level(pixels, making, texts)
        if aperio and thumbnail and not index:
            yield _stripped(levels[-1], about)


def level(pixels: Pixels, making: Making, texts: Mapping[int, tuple[int, Any]]) -> Picture:
    """Return a tiled picture."""
    coding, grey = making.coding, making.coding is Coding.JPEG_GREY
    parts = [encoded(tile, making) for tile in tiles(pixels, making.tile)]
    shared = b""
    if making.shared_tables:
        cuts = [_without_tables(part) for part in parts]
        shared, parts = cuts[0][0], [cut for _, cut in cuts]
    fields = {
        tags.WIDTH: (_LONG, pixels.shape[1]),
        tags.LENGTH: (_LONG, pixels.shape[0]),
        tags.BITS_PER_SAMPLE: (_SHORT, [8] * (1 if grey else 3)),
        tags.COMPRESSION: (_SHORT, _COMPRESSION.get(coding, tags.JPEG)),
        tags.PHOTOMETRIC: (_SHORT, _PHOTOMETRIC.get(coding, tags.RGB)),
        tags.SAMPLES_PER_PIXEL: (_SHORT, 1 if grey else 3),
        tags.PLANAR: (_SHORT, 1),
        tags.TILE_WIDTH: (_LONG, making.tile),
        tags.TILE_LENGTH: (_LONG, making.tile),
        **({530: (_SHORT, [2, 2] if making.subsampled else [1, 1])} if coding is Coding.JPEG_YCC else {}),
        **({tags.JPEG_TABLES: (7, shared)} if shared else {}),
        **texts,
    }
    return Picture(fields, parts)


def tiles(pixels: Pixels, side: int) -> Iterator[Pixels]:
    """Return the tiles of a picture row by row, each padded with its last pixels."""
    for y in range(0, pixels.shape[0], side):
        for x in range(0, pixels.shape[1], side):
            part = pixels[y : y + side, x : x + side]
            yield np.pad(part, ((0, side - part.shape[0]), (0, side - part.shape[1]), (0, 0)), "edge")


def encoded(tile: Pixels, making: Making) -> bytes:
    """Return a tile in its coding."""
    if not making.coding.jpeg:
        return _jpeg2000(tile, making)
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": making.quality, "subsampling": _SUBSAMPLING[making.subsampled]}
    image = Image.fromarray(tile)
    if making.coding is Coding.JPEG_GREY:
        image = Image.fromarray(tile[..., 0])
        options["subsampling"] = 0
    elif making.coding is Coding.JPEG_RGB:
        options |= {"keep_rgb": True, "subsampling": 0}
    image.save(file, "JPEG", **options)
    return file.getvalue()


def _jpeg2000(tile: Pixels, making: Making) -> bytes:
    samples = tile
    if making.coding is Coding.JPEG_2000_YCC:
        samples = np.asarray(Image.fromarray(tile).convert("YCbCr"))
    coded = imagecodecs.jpeg2k_encode(
        samples, level=40, codecformat="j2k", reversible=False, mct=False, resolutions=making.reductions + 1
    )
    return bytes(coded)


def _without_tables(jpeg: bytes) -> tuple[bytes, bytes]:
    """Return the tables of a JPEG file as a file of their own, and the file without them."""
    shared, own, at = bytearray(SOI), bytearray(SOI), 2
    while jpeg[at : at + 2] != b"\xff\xda":
        stop = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        (shared if jpeg[at : at + 2] in _TABLES else own).extend(jpeg[at:stop])
        at = stop
    return bytes(shared + EOI), bytes(own + jpeg[at:])


def _stripped(pixels: Pixels, about: str) -> Picture:
    """Return an untiled picture, as thumbnails and labels are."""
    height, width = pixels.shape[:2]
    fields = {
        tags.WIDTH: (_LONG, width),
        tags.LENGTH: (_LONG, height),
        tags.BITS_PER_SAMPLE: (_SHORT, [8, 8, 8]),
        tags.COMPRESSION: (_SHORT, 1),
        tags.PHOTOMETRIC: (_SHORT, tags.RGB),
        tags.DESCRIPTION: (2, about.encode() + b"\0"),
        tags.SAMPLES_PER_PIXEL: (_SHORT, 3),
        278: (_LONG, height),
    }
    return Picture(fields, [pixels.tobytes()], (273, 279))


def halved(pixels: Pixels, ratio: int) -> Pixels:
    """Return a picture reduced by a whole number, what is left at the edges cut off."""
    height, width = (side // ratio for side in pixels.shape[:2])
    cut = pixels[: height * ratio, : width * ratio].astype(np.uint32)
    mean = cut.reshape(height, ratio, width, ratio, -1).sum((1, 3))
    reduced: Pixels = ((mean + ratio * ratio // 2) // (ratio * ratio)).astype(np.uint8)
    return reduced


def size_of(pixels: Pixels) -> Size:
    """Return the size of a picture."""
    return Size(pixels.shape[1], pixels.shape[0])
