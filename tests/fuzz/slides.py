"""Fuzzed parsers of slides: directories as they are read near and far, and the JPEG streams of tiles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cache
from typing import Any, Final

import numpy as np
import tifffile
from sidecar_tiff import jpeg, samples
from sidecar_tiff.decoder import TiffDecoder
from sidecar_tiff.places import Paging
from sidecar_tiff.slide import Coding
from sidecar_tiff.testing import Making, Writer, encoded, level, slide

from sidecar.plugin import Rect, SidecarError, Size
from sidecar.testing.fakes import MemoryBlob
from tests.fuzz.target import Target

SIZE: Final = Size(40, 24)
SIDE: Final = 16
HELD: Final = Paging()
PAGED: Final = Paging(whole=0, page=2, kept_bytes=1000)
MOST_ROUNDS: Final = 200
MOST_PIXELS: Final = 1 << 18


@cache
def _decoder(paging: Paging = HELD) -> TiffDecoder:
    return samples.decoder(paging)


def open_slide(content: bytes) -> None:
    """Open a slide that is far away, and ask for a window and a tile of each level: from lists in pages too."""
    with suppress(SidecarError):
        _look(content, _decoder(PAGED))
    _look(content, _decoder())


def _look(content: bytes, decoder: TiffDecoder) -> None:
    blob = MemoryBlob("a.svs", content)
    with closing(decoder.open(blob)) as reader:
        assert len(blob.asked) < MOST_ROUNDS
        for index, each in enumerate(reader.info.levels):
            size = Size(min(64, each.size.width), min(64, each.size.height))
            window = reader.window(index, Rect(0, 0, size.width, size.height))
            assert all(0 <= start < stop <= len(content) for start, stop in window.ranges)
            reader.encoded_tile(index, Rect(0, 0, SIDE, SIDE))


def read_tile(content: bytes) -> None:
    """Make a file of a tile: what is put before it is parsed like the rest of it."""
    head = jpeg.head_of(content)
    whole = jpeg.stream(jpeg.opening(Coding.JPEG_RGB, b""), content, head)
    again = jpeg.head_of(whole)
    assert (again.size, again.components) == (head.size, head.components)
    assert whole[again.start :][:8] == content[head.start :][:8]


def open_label(content: bytes) -> None:
    """Open the label of a slide that is far away, and decode it if it is small."""
    blob = MemoryBlob("a.svs", content)
    reader = _decoder().open_associated(blob, "label")
    if reader is None:
        return
    size = reader.info.size
    window = reader.window(0, Rect(0, 0, size.width, size.height))
    assert all(0 <= start < stop <= len(content) for start, stop in window.ranges)
    if size.area < MOST_PIXELS:
        reader.read(window, blob.read(window.ranges), np.empty((size.height, size.width, 3), np.uint8))


def _labels() -> Sequence[bytes]:
    def written(**how: Any) -> bytes:
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            about = "Aperio Image Library v11.2.1 \r\nlabel"
            writer.write(label, photometric="rgb", tile=(16, 16), description=about, metadata=None)
            options = {"photometric": "rgb", "rowsperstrip": 8, "subfiletype": 1, "metadata": None, **how}
            writer.write(label, description=about, **options)
            writer.write(label[:8], description=about, photometric="rgb", subfiletype=9, metadata=None)
        return file.getvalue()

    label = samples.picture(Size(20, 12))
    packed = [written(compression=each, predictor=True) for each in ("lzw", "adobe_deflate")]
    return [*packed, written(compression="jpeg"), written()]


def _slides() -> Sequence[bytes]:
    pixels = samples.picture(SIZE)
    kinds = (
        (Making(tile=SIDE, shared_tables=True), True, False),
        (Making(tile=SIDE, coding=Coding.JPEG_2000_RGB, reductions=1), True, True),
        (Making(tile=SIDE, coding=Coding.JPEG_GREY), False, True),
    )
    return [
        Writer(big=big).file(slide([pixels, pixels[::2, ::2]], making, aperio=aperio), tiles_first=not big)
        for making, aperio, big in kinds
    ]


def _tiles() -> Sequence[bytes]:
    tile = samples.picture(Size(SIDE, SIDE))
    kinds = (Making(tile=SIDE), Making(tile=SIDE, coding=Coding.JPEG_RGB))
    return [
        *(encoded(tile, making) for making in kinds),
        level(tile, Making(tile=SIDE, shared_tables=True), {}).parts[0],
    ]


TARGETS: Final = (
    Target("slide-directories", open_slide, _slides),
    Target("slide-tiles", read_tile, _tiles),
    Target("slide-labels", open_label, _labels),
)
