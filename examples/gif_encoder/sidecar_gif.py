"""Encoder of the sidecar: GIF through Pillow.

The colours of the palette are chosen from the whole picture. So the strips are kept, `finish` makes the file, and
`memory` says what all of that takes: the sidecar admits the response only if there is room for it.
`largest_area` bounds the time that nothing can stop.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import ClassVar, Final

import PIL
from PIL import Image
from pydantic import Field as Setting

from sidecar.plugin import (
    Config,
    EncodeError,
    Encoder,
    EncoderFactory,
    Frame,
    Pixels,
    RowGuard,
    Section,
    hookimpl,
)

SIDECAR_API = 1

LARGEST_SIDE: Final = 65535
"""GIF 89a, section 18: sides have 16 bits."""
_PIXEL_BYTES: Final = 14
"""The picture, its colours by index, and the file while it grows; for noise: measured."""
_FIXED_BYTES: Final = 1 << 22
"""Tables with which colours are chosen."""


class GifSettings(Section):
    """How GIF files are made."""

    table: ClassVar[str] = "gif"

    colors: int = Setting(256, ge=2, le=256)
    """Colours of the palette, 2 to 256."""
    max_pixels: int = Setting(4_000_000, ge=1)
    """The most pixels of a picture."""


class GifEncoder:
    """One picture; an Encoder."""

    def __init__(self, frame: Frame, colors: int) -> None:
        self._rows = RowGuard(frame)
        self._colors = colors
        self._picture = Image.new("L" if frame.channels == 1 else "RGB", (frame.size.width, frame.size.height))

    def write(self, strip: Pixels) -> bytes:
        """Keep the rows. Raises EncodeError."""
        top = self._picture.height - self._rows.left
        pixels = self._rows.take(strip)
        self._picture.paste(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), (0, top))
        return b""

    def finish(self) -> bytes:
        """Return the whole file. Raises EncodeError if rows are missing, or if Pillow fails."""
        self._rows.end()
        file = io.BytesIO()
        try:
            grey = self._picture.mode == "L" and self._colors == 256
            picture = self._picture if grey else self._picture.quantize(self._colors, dither=Image.Dither.NONE)
            picture.save(file, "GIF", optimize=False)
        except (OSError, ValueError) as error:
            raise EncodeError(f"GIF: {error}") from error
        return file.getvalue()


class GifFactory:
    """An EncoderFactory of `gif` that needs whole pictures."""

    format = "gif"
    media_type = "image/gif"
    alpha = False
    largest_side = LARGEST_SIDE

    def __init__(self, settings: GifSettings) -> None:
        self.largest_area = settings.max_pixels
        self._colors = settings.colors
        self.settings = f"colors={settings.colors} pillow={PIL.__version__}"

    def rows(self, frame: Frame) -> int:
        """Return a strip height at which the bands of the source stay thin: the strips are kept anyway."""
        del frame
        return 64

    def memory(self, frame: Frame) -> int:
        """Count the whole picture, in every form in which it exists at once."""
        return _PIXEL_BYTES * frame.size.area + _FIXED_BYTES

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture. Raises EncodeError if GIF cannot hold it."""
        if frame.channels not in (1, 3):
            raise EncodeError(f"GIF has no pictures of {frame.channels} channels")
        if max(frame.size.width, frame.size.height) > LARGEST_SIDE:
            raise EncodeError(f"GIF has no pictures of {frame.size}: the largest side is {LARGEST_SIDE}")
        return GifEncoder(frame, self._colors)


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `gif`."""
    return [GifSettings]


@hookimpl
def register_encoders(config: Config) -> Iterable[EncoderFactory]:
    """Register the encoder of `gif`."""
    return [GifFactory(config.section(GifSettings))]
