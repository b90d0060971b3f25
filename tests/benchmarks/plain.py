"""Plain OpenJPEG, by way of glymur alone: what a script would do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar_jp2.openjpeg.library import bind

from sidecar.plugin import Pixels, Rect, Size


@dataclass(frozen=True, slots=True)
class PlainReader:
    """Reads windows of one level with an image opened before."""

    image: Any
    size: Size
    """Of the whole image."""
    scale: int

    def __call__(self, region: Rect) -> Pixels:
        """A region in pixels of the level."""
        rows = slice(region.y * self.scale, min(region.bottom * self.scale, self.size.height), self.scale)
        columns = slice(region.x * self.scale, min(region.right * self.scale, self.size.width), self.scale)
        pixels: Pixels = self.image[rows, columns]
        return pixels


def plain_reader(path: Path, scale: int) -> PlainReader:
    """Open a picture; `scale` is a power of two."""
    bind()
    from glymur import Jp2k  # noqa: PLC0415  # it binds to a library when it is imported, and `bind` chooses which

    image = Jp2k(path)
    height, width = image.shape[:2]
    return PlainReader(image, Size(width, height), scale)
