"""PNG as its rows come: filtered in numpy, compressed as one zlib stream, an IDAT chunk for each strip.

numpy works without the GIL, and so does zlib's compressor object.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.plugin import EncodeError, Frame, Pixels, RowGuard
from sidecar_png.chunks import END, head, idat
from sidecar_png.filters import Bits, Paeth
from sidecar_png.settings import PngSettings

LARGEST_SIDE = 2**31 - 1
"""W3C PNG, section 7.1."""

_STRIP_BYTES = 1 << 20
_ZLIB_BYTES = 1 << 19
"""deflate takes 256 KiB and some more with the memory level that is used (zlib.h)."""
_CHANNELS = range(1, 5)
_STRATEGIES = {"rle": zlib.Z_RLE, "default": zlib.Z_DEFAULT_STRATEGY}


class PngFactory:
    """Makes PNG encoders; an EncoderFactory."""

    format = "png"
    media_type = "image/png"
    alpha = True

    def __init__(self, settings: PngSettings) -> None:
        self._level = settings.level
        self._strategy = _STRATEGIES[settings.strategy]
        self.settings = f"strategy={settings.strategy} level={settings.level} zlib={zlib.ZLIB_RUNTIME_VERSION}"

    def rows(self, frame: Frame) -> int:
        """Return as many rows as make a megabyte; any other number gives the same pixels."""
        return max(1, _STRIP_BYTES // (frame.size.width * frame.channels))

    def memory(self, frame: Frame) -> int:
        """Count the five filters of a strip, tried in 16 bits (15 strips by tracemalloc), and zlib's buffers."""
        strip = min(self.rows(frame), frame.size.height) * frame.size.width * frame.channels
        return 16 * strip + _ZLIB_BYTES

    def start(self, frame: Frame) -> PngEncoder:
        """Begin a picture of 1 to 4 channels. Raises EncodeError if it has others, or a side above 2**31 - 1."""
        if frame.channels not in _CHANNELS:
            raise EncodeError(f"PNG has no pictures of {frame.channels} channels")
        if not (0 < frame.size.width <= LARGEST_SIDE and 0 < frame.size.height <= LARGEST_SIDE):
            raise EncodeError(f"PNG has no pictures of {frame.size}: the largest side is {LARGEST_SIDE}")
        return PngEncoder(frame, self._level, self._strategy)


class PngEncoder:
    """One picture; an Encoder."""

    def __init__(self, frame: Frame, level: int, strategy: int) -> None:
        bitonal = frame.bitonal and frame.channels == 1
        self._lines = Bits() if bitonal else Paeth()
        # Packed bits seldom make runs of equal bytes: there zlib looks for repeats in any case.
        strategy = zlib.Z_DEFAULT_STRATEGY if bitonal else strategy
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
        self._head = head(frame, self._lines.depth)
        self._count = RowGuard(frame)

    def write(self, strip: Pixels) -> bytes:
        """Return the strip's part of the file; may be empty while zlib collects. Raises EncodeError."""
        pixels = self._count.take(strip)
        before, self._head = self._head, b""
        with _failures():
            return before + idat(self._deflate.compress(self._lines(pixels).data))

    def finish(self) -> bytes:
        """Return the end of the file. Raises EncodeError if rows are missing."""
        self._count.end()
        with _failures():
            return idat(self._deflate.flush()) + END


@contextmanager
def _failures() -> Iterator[None]:
    """Map what zlib and numpy raise to EncodeError."""
    try:
        yield
    except (zlib.error, MemoryError) as error:
        raise EncodeError(f"PNG: {error}") from error
