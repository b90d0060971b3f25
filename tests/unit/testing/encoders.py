"""Encoders that keep whole pictures: some say what memory that takes, others hide it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import Image, features

from sidecar.plugin import EncodeError, Encoder, Frame, Pixels, RowGuard, Tolerance

MODES: Final[Mapping[int, str]] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
LARGEST_WEBP: Final = 16383


class PillowEncoder:
    """Keeps all rows in a picture of Pillow's, whose memory Python's allocators do not see, and encodes it last."""

    def __init__(self, frame: Frame, kind: str, **options: object) -> None:
        self._guard = RowGuard(frame)
        self._picture = Image.new(MODES[frame.channels], (frame.size.width, frame.size.height))
        self._kind = kind
        self._options = options

    def write(self, strip: Pixels) -> bytes:
        """Paste the rows."""
        top = self._picture.height - self._guard.left
        taken = self._guard.take(strip)
        self._picture.paste(Image.fromarray(taken[..., 0] if taken.shape[2] == 1 else taken), (0, top))
        return b""

    def finish(self) -> bytes:
        """Encode the picture."""
        self._guard.end()
        file = io.BytesIO()
        self._picture.save(file, self._kind, **self._options)
        return file.getvalue()


class _CarelessEncoder(PillowEncoder):
    def finish(self) -> bytes:
        self._guard.left = 0
        return super().finish()


class Tiff:
    """Uncompressed TIFF."""

    format = "tif"
    media_type = "image/tiff"
    alpha = True
    settings = "plain"

    def rows(self, frame: Frame) -> int:
        """Return the height of a strip."""
        del frame
        return 64

    def memory(self, frame: Frame) -> int:
        """Return the bytes of Pillow's picture, of the file while it grows, and of the file returned."""
        return 12 * frame.size.area + 4 * frame.size.width * self.rows(frame) + 2**20

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture."""
        if frame.channels not in MODES or max(frame.size.width, frame.size.height) > LARGEST_WEBP:
            raise EncodeError("too large")
        return PillowEncoder(frame, "TIFF", icc_profile=frame.icc)


class HidingTiff(Tiff):
    """Says that it keeps two strips."""

    def memory(self, frame: Frame) -> int:
        """Return the bytes of two strips."""
        return 2 * frame.size.width * self.rows(frame) * frame.channels


class Webp:
    """Lossy WebP, which has no grey."""

    format = "webp"
    media_type = "image/webp"
    alpha = True
    settings = f"90 {features.version('webp')}"

    def rows(self, frame: Frame) -> int:
        """Return the height of a strip."""
        del frame
        return 64

    def memory(self, frame: Frame) -> int:
        """Return the bytes of Pillow's picture, of libwebp's planes and coefficients, and of the file, for noise."""
        return 20 * frame.size.area + 2**20

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture. Raises EncodeError if WebP cannot hold it."""
        if frame.channels not in MODES or max(frame.size.width, frame.size.height) > LARGEST_WEBP:
            raise EncodeError("WebP has up to 16383 rows and columns")
        return PillowEncoder(frame, "WEBP", quality=90, method=0, exact=True, icc_profile=frame.icc)

    tolerance = Tolerance(80, "4:2:0")


class WebpInOneStrip(Webp):
    """Takes the whole picture at once."""

    def rows(self, frame: Frame) -> int:
        """Return the height of the picture."""
        return frame.size.height


class HidingWebp(Webp):
    """Says that it keeps two strips."""

    def memory(self, frame: Frame) -> int:
        """Return the bytes of two strips."""
        return 2 * frame.size.width * self.rows(frame) * frame.channels


class HidingInPython(Tiff):
    """Keeps the strips in a list, and says that it keeps two."""

    def memory(self, frame: Frame) -> int:
        """Return the bytes of two strips."""
        return 2 * frame.size.width * self.rows(frame) * frame.channels

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture."""
        return KeepingEncoder(frame)


class EarlyEnd(Tiff):
    """Takes the whole picture as one strip, and ends it whatever has come."""

    def rows(self, frame: Frame) -> int:
        """Return the height of the picture."""
        return frame.size.height

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture."""
        return _CarelessEncoder(frame, "TIFF")


class KeepingEncoder:
    """Keeps copies of the strips."""

    def __init__(self, frame: Frame) -> None:
        self._guard = RowGuard(frame)
        self._kept: list[Pixels] = []

    def write(self, strip: Pixels) -> bytes:
        """Copy the rows."""
        self._kept.append(self._guard.take(strip).copy())
        return b""

    def finish(self) -> bytes:
        """Join the rows."""
        return np.concatenate(self._kept).tobytes()
