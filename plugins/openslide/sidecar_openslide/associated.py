"""Images that a slide holds beside its own, as its label: decoded whole, whatever part of them is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Literal

from sidecar.plugin import Buffer, DecodeError, Grid, ImageInfo, Level, Malformed, Pixels, Rect, Unsupported, Window
from sidecar_openslide.colours import WHITE, check_profile, show
from sidecar_openslide.guarded import GuardedSlide
from sidecar_openslide.library import Slide
from sidecar_openslide.native_tiles import STRIP_PIXEL_BYTES


class AssociatedReader:
    """The reader of such an image. It opens the slide for each read, since these are few, and holds no file open."""

    thread_safe: Literal[True] = True

    def __init__(self, name: str, info: ImageInfo, reopen: Callable[[], GuardedSlide]) -> None:
        self.info = info
        self._name = name
        self._reopen = reopen

    @classmethod
    def of(
        cls, slide: Slide, name: str, reopen: Callable[[], GuardedSlide], most: int, pixel_bytes: int
    ) -> AssociatedReader | None:
        """Return the reader of an image with `most` pixels at most; None if the slide has none of that name.

        `pixel_bytes`: what decoding takes for each pixel, beside what is coded. Raises Malformed if the image is
        larger, Unsupported if its profile is not one of RGB.
        """
        size = slide.associated_size(name)
        if size is None:
            return None
        if not 0 < size.area <= most:
            shape = f"{size.width} x {size.height}"
            raise Malformed(f"its {name} has {shape} pixels; SIDECAR_OPENSLIDE_MAX_TILE_PIXELS is {most}")
        icc = slide.associated_profile(name)
        check_profile(icc)
        level = Level(
            size=size,
            downsample=1.0,
            grid=Grid(width=size.width, height=size.height),
            fixed_bytes=(pixel_bytes + STRIP_PIXEL_BYTES) * size.area,
            pixel_bytes=0.0,
        )
        return cls(name, ImageInfo(size=size, channels=3, levels=(level,), icc=icc), reopen)

    def window(self, level: int, region: Rect) -> Window:
        """Return the window as it stands: OpenSlide reads the file itself."""
        return Window(level=level, region=region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Write RGB pixels, white behind what is transparent. Raises DecodeError, SourceChanged, SourceError."""
        del data
        try:
            slide = self._reopen()
        except Unsupported as error:
            raise DecodeError(f"the slide cannot be opened again: {error}") from error
        with closing(slide), slide.used() as opened:
            region = window.region
            scan = opened.read_associated(self._name, self.info.size)
            show(scan[region.y : region.bottom, region.x : region.right], WHITE, into)

    def close(self) -> None:
        """Do nothing: no file is held open."""
