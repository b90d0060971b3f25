"""Decoder of the sidecar: binary PGM and PPM, 8 bits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import numpy as np

from sidecar.plugin import (
    SIGNATURE_BYTES,
    Blob,
    Buffer,
    ByteRange,
    Decoder,
    Grid,
    ImageInfo,
    Level,
    Malformed,
    Pixels,
    Rect,
    Size,
    Unsupported,
    Window,
    hookimpl,
)

SIDECAR_API = 1

HEADER = re.compile(rb"P([56])\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,5})\s")
CHANNELS = {b"5": 1, b"6": 3}


class NetpbmReader:
    """An opened image; an ImageReader."""

    thread_safe: Literal[True] = True

    def __init__(self, size: Size, channels: int, start: int) -> None:
        # Any rows cost the same; samples are copied once, straight into the core's array.
        level = Level(
            size=size,
            downsample=1.0,
            grid=Grid(width=size.width, height=64),
            pixel_bytes=0,
            coded_bytes=channels,
        )
        self.info = ImageInfo(size=size, channels=channels, levels=(level,))
        self._start = start

    def window(self, level: int, region: Rect) -> Window:
        """Return a range for each row."""
        channels, width = self.info.channels, self.info.size.width
        starts = (self._start + (y * width + region.x) * channels for y in range(region.y, region.bottom))
        ranges = tuple(ByteRange(start, start + region.width * channels) for start in starts)
        return Window(level=level, region=region, ranges=ranges)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Copy the rows."""
        for row, samples in zip(into, data, strict=True):
            row[:] = np.frombuffer(samples, np.uint8).reshape(row.shape)

    def close(self) -> None:
        """Do nothing: nothing is held."""


class NetpbmDecoder:
    """A Decoder."""

    name = "netpbm"
    suffixes: ClassVar[frozenset[str]] = frozenset({"pgm", "ppm", "pnm"})

    def recognizes(self, head: bytes) -> bool:
        """Report whether the file begins like a binary PGM or PPM."""
        return HEADER.match(head) is not None

    def open(self, blob: Blob) -> NetpbmReader:
        """Read the header. Raises Unsupported, Malformed, SourceError."""
        (head,) = blob.read([ByteRange(0, min(blob.size, SIGNATURE_BYTES))])
        found = HEADER.match(bytes(head))
        if found is None:
            raise Unsupported("neither PGM nor PPM, or with comments in the header")
        kind, (width, height, largest) = found[1], map(int, found.groups()[1:])
        if largest != 255:
            raise Unsupported(f"netpbm: samples up to {largest}")
        size, channels = Size(width, height), CHANNELS[kind]
        if not size.area or found.end() + size.area * channels > blob.size:
            raise Malformed(f"netpbm: {width}x{height} pixels in {blob.size} bytes")
        return NetpbmReader(size, channels, found.end())


@hookimpl
def register_decoders() -> Iterable[Decoder]:
    """Register the decoder of PGM and PPM."""
    return [NetpbmDecoder()]
