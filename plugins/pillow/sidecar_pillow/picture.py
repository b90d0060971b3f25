"""A picture that is kept until its last row, and then encoded by Pillow in one call.

Pillow's encoders of WebP and AVIF work without the GIL; copies before and after hold it for a few milliseconds.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

from PIL import Image

from sidecar.plugin import EncodeError, Frame, Pixels, RowGuard

Options: TypeAlias = Mapping[str, object]
"""What `Image.save` takes for a format."""

_STRIP_PIXELS: Final = 1 << 18
_LEAST_ROWS: Final = 64
_MODES: Final[Mapping[int, str]] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def strip_rows(width: int) -> int:
    """Return a strip height: a tile comes as one strip, and of wide pictures the source's bands stay thin."""
    return max(_LEAST_ROWS, _STRIP_PIXELS // width)


class PictureEncoder:
    """One picture; an Encoder."""

    def __init__(self, frame: Frame, largest_side: int, kind: str, options: Options) -> None:
        """`kind` is Pillow's name of the format. Raises EncodeError if the format cannot hold the picture."""
        if frame.channels not in _MODES:
            raise EncodeError(f"{kind} has no pictures of {frame.channels} channels")
        if not (0 < frame.size.width <= largest_side and 0 < frame.size.height <= largest_side):
            raise EncodeError(f"{kind} has no pictures of {frame.size}: the largest side is {largest_side}")
        self._count = RowGuard(frame)
        self._kind = kind
        self._options = {**options, "icc_profile": frame.icc or b""}
        with _failures(kind):
            self._picture = Image.new(_MODES[frame.channels], (frame.size.width, frame.size.height))

    def write(self, strip: Pixels) -> bytes:
        """Keep the rows. Raises EncodeError."""
        top = self._picture.height - self._count.left
        pixels = self._count.take(strip)
        with _failures(self._kind):
            self._picture.paste(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), (0, top))
        return b""

    def finish(self) -> bytes:
        """Return the whole file. Raises EncodeError if rows are missing, or if the library fails."""
        self._count.end()
        file = io.BytesIO()
        with _failures(self._kind):
            self._picture.save(file, self._kind, **self._options)
        return file.getvalue()


@contextmanager
def _failures(kind: str) -> Iterator[None]:
    """Map what Pillow and its encoders raise to EncodeError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SystemError, TypeError, OverflowError, MemoryError) as error:
        raise EncodeError(f"{kind}: {error}") from error
