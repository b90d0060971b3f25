"""JPEG in strips: each compressed on its own, joined to the very bytes that compressing the whole picture gives.

With one restart interval per MCU row, every eighth restart marker is RST7 (ITU-T T.81 B.2.1). A strip of a
multiple of eight MCU rows thus ends where RST7 stands in the whole picture, and the next one begins with RST0 ahead.
"""

from __future__ import annotations

import turbojpeg

from sidecar.plugin import EncodeError, Encoder, Frame, Pixels, RowGuard, Tolerance
from sidecar_turbojpeg.library import Compressor, Options
from sidecar_turbojpeg.progressive import Rewrite
from sidecar_turbojpeg.segments import EOI, RST7, profile_segments, split, with_height, with_profile
from sidecar_turbojpeg.settings import JpegSettings

LARGEST_SIDE = 65500
"""JPEG_MAX_DIMENSION of libjpeg, which is what most decoders accept; ITU-T T.81 B.2.2 has 65535."""

_LEAST_BYTES = 1 << 17
"""Of libjpeg's structures, however small the strip."""
_LEAST_PROGRESSIVE_BYTES = 1 << 20
_STRIP_PIXELS = 1 << 18
"""Below this, the 50 µs that a call costs show."""
_PROGRESSIVE_BYTES = 24
"""Of a pixel: 2 for each of its coefficients, all in memory (ITU-T T.81 G.1.1), and both files, for noise: measured."""
_SUBSAMPLING = {
    "4:2:0": (turbojpeg.TJSAMP_420, 16),
    "4:2:2": (turbojpeg.TJSAMP_422, 8),
    "4:4:4": (turbojpeg.TJSAMP_444, 8),
}
"""TJSAMP_* and the height of an MCU, in pixels."""
_GREY = (turbojpeg.TJSAMP_GRAY, 8)
_PIXEL_FORMATS = {1: turbojpeg.TJPF_GRAY, 3: turbojpeg.TJPF_RGB}


class JpegFactory:
    """Makes JPEG encoders; an EncoderFactory that hides errors."""

    format = "jpg"
    media_type = "image/jpeg"
    alpha = False
    largest_side = LARGEST_SIDE

    def __init__(self, settings: JpegSettings, compress: Compressor, progressive: Rewrite | None = None) -> None:
        """`progressive` makes pictures of up to `progressive_pixels`; None: all are baseline."""
        self._progressive = progressive
        self._progressive_pixels = settings.progressive_pixels if progressive else 0
        self._quality = settings.quality
        self._subsampling = settings.subsampling
        self._compress = compress
        self.tolerance = Tolerance(settings.quality, settings.subsampling)
        self.settings = f"quality={settings.quality} subsampling={settings.subsampling} turbojpeg={compress.major}"
        if self._progressive_pixels:
            self.settings += f" progressive={self._progressive_pixels}"

    def rows(self, frame: Frame) -> int:
        """Return a multiple of eight MCU rows; more than eight if those have less than a quarter of a megapixel.

        Of a progressive picture return all rows.
        """
        if self._is_progressive(frame):
            return frame.size.height
        _, mcu_height = self._sampling(frame)
        eight = 8 * mcu_height
        return eight * max(1, _STRIP_PIXELS // (eight * frame.size.width))

    def memory(self, frame: Frame) -> int:
        """Count three strips: 1.4 by tracemalloc, for noise, and TurboJPEG's buffers; and the profile, written once.

        Of a progressive picture count all coefficients.
        """
        if self._is_progressive(frame):
            return _PROGRESSIVE_BYTES * frame.size.area + 3 * len(frame.icc or b"") + _LEAST_PROGRESSIVE_BYTES
        strip = min(self.rows(frame), frame.size.height) * frame.size.width * frame.channels
        return 3 * strip + 3 * len(frame.icc or b"") + _LEAST_BYTES

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture of 1 or 3 channels. Raises EncodeError if it has others, or a side above 65500."""
        if frame.channels not in _PIXEL_FORMATS:
            raise EncodeError(f"JPEG has no pictures of {frame.channels} channels")
        if not (0 < frame.size.width <= LARGEST_SIDE and 0 < frame.size.height <= LARGEST_SIDE):
            raise EncodeError(f"JPEG has no pictures of {frame.size}: the largest side is {LARGEST_SIDE}")
        subsampling, _ = self._sampling(frame)
        options = Options(self._quality, _PIXEL_FORMATS[frame.channels], subsampling)
        if self._progressive and self._is_progressive(frame):
            return ProgressiveEncoder(frame, options, self._compress, self._progressive)
        return JpegEncoder(frame, self.rows(frame), options, self._compress)

    def _is_progressive(self, frame: Frame) -> bool:
        return frame.size.area <= self._progressive_pixels

    def _sampling(self, frame: Frame) -> tuple[int, int]:
        return _GREY if frame.channels == 1 else _SUBSAMPLING[self._subsampling]


class JpegEncoder:
    """One picture; an Encoder."""

    def __init__(self, frame: Frame, rows: int, options: Options, compress: Compressor) -> None:
        self._height = frame.size.height
        self._rows = rows
        self._options = options
        self._compress = compress
        self._count = RowGuard(frame)
        self._profile = profile_segments(frame.icc or b"")
        self._header = b""

    def write(self, strip: Pixels) -> bytes:
        """The strip's part of the file. Raises EncodeError."""
        pixels = self._count.take(strip)
        if self._count.left and len(pixels) != self._rows:
            raise EncodeError(f"a strip of {len(pixels)} rows came among strips of {self._rows}")
        header, scan = split(self._compress(pixels, self._options))
        return b"".join((self._join(with_height(header, self._height)), scan))

    def _join(self, header: bytes) -> bytes:
        """Return what goes before a strip's scan: the file's header, later the marker between two strips."""
        if not self._header:
            self._header = header
            return with_profile(header, self._profile)
        if header != self._header:
            raise EncodeError("libjpeg-turbo compressed two strips by different tables")
        return RST7

    def finish(self) -> bytes:
        """Return the end of the image. Raises EncodeError if rows are missing."""
        self._count.end()
        return EOI


class ProgressiveEncoder:
    """One picture, all of it one strip, whose scans each show the whole; an Encoder."""

    def __init__(self, frame: Frame, options: Options, compress: Compressor, rewrite: Rewrite) -> None:
        self._options = options
        self._compress = compress
        self._rewrite = rewrite
        self._count = RowGuard(frame)
        self._profile = profile_segments(frame.icc or b"")

    def write(self, strip: Pixels) -> bytes:
        """Return the file. Raises EncodeError."""
        pixels = self._count.take(strip)
        self._count.end()
        return with_profile(self._rewrite(self._compress(pixels, self._options)), self._profile)

    def finish(self) -> bytes:
        """Return nothing: the file has ended. Raises EncodeError if it has not begun."""
        self._count.end()
        return b""
