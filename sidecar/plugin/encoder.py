"""What an encoder plugin implements: from strips of pixels to a file, and a check of the strips for its use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from sidecar.errors import EncodeError
from sidecar.plugin.geometry import Pixels, Size
from sidecar.plugin.tolerance import Tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What an encoder knows before the first strip."""

    size: Size
    channels: int
    """Of the pixels that come: 1, 2, 3 or 4, see Pixels."""
    icc: bytes | None = field(default=None, repr=False)
    """The ICC profile to write into the file."""
    bitonal: bool = False
    """Grey pixels that are 0 or 255 only."""

    @property
    def alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)


class Encoder(Protocol):
    """One picture being encoded. Called in native threads, one call at a time."""

    def write(self, strip: Pixels) -> bytes:
        """Encode the next rows: `rows(frame)` of them, fewer only at the end. May return no bytes yet.

        The strip is only read, and its memory is reused as soon as `write` returns. Raises EncodeError.
        """
        ...

    def finish(self) -> bytes:
        """Return the end of the file. Raises EncodeError if rows are missing."""
        ...


class EncoderFactory(Protocol):
    """Makes encoders of one IIIF format."""

    @property
    def format(self) -> str:
        """The format as in the URL: `jpg`."""
        ...

    @property
    def media_type(self) -> str:
        """The format as in Content-Type: `image/jpeg`."""
        ...

    @property
    def alpha(self) -> bool:
        """Whether an alpha channel can be kept; if not, the core blends the pixels with the background colour."""
        ...

    @property
    def settings(self) -> str:
        """All that changes the bytes made of the same pixels: settings, and the library's version. Part of the ETag."""
        ...

    def rows(self, frame: Frame) -> int:
        """Return the strip height that it wants. A format that cannot stream still takes strips, and keeps them."""
        ...

    def memory(self, frame: Frame) -> int:
        """Return the most bytes that a picture takes at once, from `start` to the end of `finish`.

        Counted are all buffers of encoder and library, and the bytes that `write` and `finish` return; not the strip
        that `write` is given. `EncoderContract` measures it.
        """
        ...

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture. Called in a greenlet. Raises EncodeError, as for a size that the format cannot hold."""
        ...


@runtime_checkable
class HidesErrors(Protocol):
    """An optional power of a factory: its format is lossy and hides small errors of the pixels it is given."""

    @property
    def tolerance(self) -> Tolerance:
        """The JPEG of colour pictures that hides as much as its files do; EXACT: every bit shows."""
        ...


@runtime_checkable
class NeedsWholePicture(Protocol):
    """An optional power of a factory: its format cannot stream, and `finish` encodes the whole picture in one call.

    Nothing can stop that call, and nothing is sent before it returns. So the core refuses larger pictures before any
    work, and has those of more than a megapixel encoded in threads that give way to small responses.
    """

    @property
    def largest_area(self) -> int:
        """The most pixels of a picture. The core refuses more with 400."""
        ...


class RowGuard:
    """Checks strips against the frame: every row once, none missing. One for each picture."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.left = frame.size.height
        """Rows still to come."""

    def take(self, strip: Pixels) -> Pixels:
        """Return the strip, shape (rows, width, channels), C-contiguous with plain strides; copied only if it was not.

        Raises EncodeError if it does not fit the frame or has more rows than are left.
        """
        rows, *rest = strip.shape
        if rest != [self._frame.size.width, self._frame.channels] or strip.dtype != np.uint8:
            raise EncodeError(f"a strip of {strip.shape} {strip.dtype} does not fit {self._frame}")
        if not 0 < rows <= self.left:
            raise EncodeError(f"a strip of {rows} rows came when {self.left} were left")
        self.left -= rows
        # numpy calls an axis of length 1 contiguous whatever its stride; C libraries take that stride as the pitch.
        return np.ascontiguousarray(strip).ravel().reshape(strip.shape)

    def end(self) -> None:
        """Raise EncodeError if rows are missing."""
        if self.left:
            raise EncodeError(f"the picture ended {self.left} rows early")
