"""Images that an Aperio slide holds beside its own: which directory is which, and a reader of its strips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from sidecar.plugin import Blob, Buffer, Grid, ImageInfo, Level, Pixels, Rect, Window
from sidecar.plugin.color import shared_profile
from sidecar_tiff import tags
from sidecar_tiff.pages import Contents
from sidecar_tiff.properties import associated_pages
from sidecar_tiff.slide import check_profile, is_aperio
from sidecar_tiff.strips import Strips, strips_of
from sidecar_tiff.turbo import Turbo

_CHANNELS: Final = 3


def open_associated(contents: Contents, blob: Blob, name: str, turbo: Turbo) -> AssociatedReader | None:
    """Return the reader of an image; None if there is none of that name. Raises Unsupported if it is not read here."""
    if not is_aperio(contents.pages[0]):
        return None
    page = associated_pages(contents.pages).get(name)
    if page is None:
        return None
    return AssociatedReader(strips_of(page, blob, turbo), check_profile(page.texts.get(tags.ICC)))


class AssociatedReader:
    """An ImageReader of a picture in strips: those that a window touches are fetched and decoded."""

    thread_safe: Literal[True] = True

    def __init__(self, strips: Strips, icc: bytes | None) -> None:
        self._strips = strips
        size, row = strips.size, strips.size.width * _CHANNELS
        level = Level(
            size=size,
            downsample=1.0,
            grid=Grid(width=size.width, height=strips.rows),
            # A strip as it comes out of its coding, and its pixels.
            fixed_bytes=strips.codec.strip_bytes + 3 * row * strips.rows,
            pixel_bytes=0.0,
            coded_bytes=float(strips.lengths.sum()) / size.area,
        )
        profile = None if icc is None else shared_profile(icc)
        self.info = ImageInfo(size=size, channels=_CHANNELS, levels=(level,), icc=profile)
        self.held_bytes = strips.places.nbytes + strips.lengths.nbytes + 4096
        """The bytes of the lists of strips, see HoldsBytes."""

    def window(self, level: int, region: Rect) -> Window:
        """Return the places of the strips that a region touches."""
        return Window(level=level, region=region, ranges=tuple(map(self._strips.place, self._touched(region))))

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Write RGB pixels. Raises DecodeError."""
        region, rows = window.region, self._strips.rows
        for index, strip in zip(self._touched(region), data, strict=True):
            pixels = self._strips.decode(index, strip)
            top, bottom = max(region.y, index * rows), min(region.bottom, index * rows + len(pixels))
            part = pixels[top - index * rows : bottom - index * rows, region.x : region.right]
            into[top - region.y : bottom - region.y] = part

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""

    def _touched(self, region: Rect) -> range:
        return range(region.y // self._strips.rows, math.ceil(region.bottom / self._strips.rows))
