"""The images of two responses: how much they differ, in numbers and as thumbnails."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sidecar_compare.errors import UnreadableImage

_ROWS = 256
_THUMBNAIL = 320
"""The longer side of the thumbnails, in pixels."""
_SMALLEST = 32
"""The longer side below which thumbnails are not made smaller, whatever they take."""
_BYTES = 300_000
"""What the thumbnails of a pair take in a page, if nothing less is wanted."""
_COLORS = 64
_PEAK = 255
_GAIN = 8
"""The least amplification of differences: it makes the noise between two JPEG encoders visible."""


@dataclass(frozen=True)
class Distance:
    """The difference of two images of the same size, in grey levels from 0 to 255, over all channels."""

    mean: float
    maximum: int
    psnr: float
    """Peak signal-to-noise ratio in dB; infinite if the images are equal."""


@dataclass(frozen=True)
class Thumbnails:
    """Both images and their difference, as `data:` URIs; `difference` is empty if the sizes differ."""

    cantaloupe: str
    sidecar: str
    difference: str = ""
    gain: int = 1
    """The factor by which the difference is amplified."""

    @property
    def size(self) -> int:
        """The bytes of all three in a page."""
        return len(self.cantaloupe) + len(self.sidecar) + len(self.difference)


class ImagePair:
    """The decoded images of two responses: RGBA if either has transparency, else RGB; the first frame of several."""

    def __init__(self, cantaloupe: bytes, sidecar: bytes) -> None:
        """Raise UnreadableImage."""
        opened = [_opened(body) for body in (cantaloupe, sidecar)]
        mode = "RGBA" if any(image.has_transparency_data for image in opened) else "RGB"
        self._images = [image.convert(mode) for image in opened]
        self.sizes = tuple(image.size for image in opened)
        self.profiles = tuple("icc_profile" in image.info for image in opened)
        self.transparent = tuple(image.has_transparency_data for image in opened)

    @cached_property
    def distance(self) -> Distance | None:
        """The difference of the images, or None if their sizes differ."""
        if self.sizes[0] != self.sizes[1]:
            return None
        # All three numbers follow from how often each absolute difference occurs.
        counts = np.zeros(_PEAK + 1, np.int64)
        for strip in self._strips(_ROWS):
            counts += np.bincount(strip.ravel(), minlength=_PEAK + 1)
        levels = np.arange(_PEAK + 1)
        samples = counts.sum()
        squares = float((counts * levels**2).sum() / samples)
        psnr = 10 * math.log10(_PEAK**2 / squares) if squares else math.inf
        return Distance(float((counts * levels).sum() / samples), int(np.flatnonzero(counts)[-1]), psnr)

    def thumbnails(self, most: int = _BYTES) -> Thumbnails:
        """Return thumbnails of both images and of their amplified difference, in `most` bytes if that is possible.

        If the images have one size, so have the thumbnails, and each pixel stands for the same block of pixels in all.
        """
        longest = max(side for size in self.sizes for side in size)
        step = math.ceil(longest / _THUMBNAIL)
        made = self._thumbnails(step)
        while made.size > most and longest > step * _SMALLEST:
            step = math.ceil(step * 1.25)
            made = self._thumbnails(step)
        return made

    def _thumbnails(self, step: int) -> Thumbnails:
        cantaloupe, sidecar = (_uri(_palette(image.reduce(step))) for image in self._images)
        if self.distance is None:
            return Thumbnails(cantaloupe, sidecar)
        gain = max(_GAIN, _PEAK // max(1, self.distance.maximum))
        amplified = np.minimum(self._peaks(step) * np.uint16(gain), _PEAK).astype(np.uint8)
        return Thumbnails(cantaloupe, sidecar, _uri(Image.fromarray(amplified)), gain)

    def _strips(self, rows: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the absolute differences of `rows` rows at a time, which need little memory beside the images."""
        one, other = (np.asarray(image) for image in self._images)
        for top in range(0, one.shape[0], rows):
            strips = one[top : top + rows], other[top : top + rows]
            yield np.maximum(*strips) - np.minimum(*strips)

    def _peaks(self, step: int) -> NDArray[np.uint8]:
        """Return the difference, reduced to the maximum of each block, so that a single wrong pixel stays visible."""
        width, _ = self.sizes[0]
        columns = np.arange(0, width, step)
        return np.stack([np.maximum.reduceat(strip.max(axis=(0, 2)), columns) for strip in self._strips(step)])


def _opened(body: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(body))
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{type(error).__name__}: {error}") from error
    return image


def _palette(image: Image.Image) -> Image.Image:
    """Return an image in 64 colours: enough to be recognized, and a third of the bytes."""
    return image.quantize(_COLORS, method=Image.Quantize.FASTOCTREE)


def _uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG")
    return f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"
