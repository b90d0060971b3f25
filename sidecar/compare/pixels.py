"""How far apart two pictures are, in numbers and to look at."""

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

from sidecar.errors import SidecarError

_ROWS = 256
_THUMBNAIL = 320
"""The longer side of the pictures in the report."""
_PEAK = 255
_GAIN = 8
"""What differences are amplified by at least: the noise of two JPEG encoders becomes visible."""


class Unreadable(SidecarError):
    """The bytes are no picture that can be read whole."""


@dataclass(frozen=True)
class Distance:
    """How far two pictures of the same size are apart, in grey levels of 0 to 255 over all channels."""

    mean: float
    maximum: int
    psnr: float
    """Peak signal-to-noise ratio in dB, infinite where all is equal."""


@dataclass(frozen=True)
class Pictures:
    """Both pictures and their difference, as `data:` URIs; `difference` is empty where the sizes differ."""

    cantaloupe: str
    sidecar: str
    difference: str = ""
    gain: int = 1
    """What the difference was multiplied by."""


class Couple:
    """Two decoded pictures. Compares RGBA where either has transparency, else RGB; of several frames the first."""

    def __init__(self, cantaloupe: bytes, sidecar: bytes) -> None:
        """Raise Unreadable."""
        opened = [_opened(body) for body in (cantaloupe, sidecar)]
        mode = "RGBA" if any(image.has_transparency_data for image in opened) else "RGB"
        self._images = [image.convert(mode) for image in opened]
        self.sizes = tuple(image.size for image in opened)
        self.profiles = tuple("icc_profile" in image.info for image in opened)

    @cached_property
    def distance(self) -> Distance | None:
        """None where the sizes differ."""
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

    def pictures(self) -> Pictures:
        """Small pictures of both, and of where they differ, amplified."""
        cantaloupe, sidecar = (_uri(_thumbnail(image)) for image in self._images)
        if self.distance is None:
            return Pictures(cantaloupe, sidecar)
        gain = max(_GAIN, _PEAK // max(1, self.distance.maximum))
        amplified = np.minimum(self._peaks() * np.uint16(gain), _PEAK).astype(np.uint8)
        return Pictures(cantaloupe, sidecar, _uri(Image.fromarray(amplified)), gain)

    def _strips(self, rows: int) -> Iterator[NDArray[np.uint8]]:
        """The absolute differences, so many rows at a time: the comparison takes little beside the pictures."""
        one, other = (np.asarray(image) for image in self._images)
        for top in range(0, one.shape[0], rows):
            strips = one[top : top + rows], other[top : top + rows]
            yield np.maximum(*strips) - np.minimum(*strips)

    def _peaks(self) -> NDArray[np.uint8]:
        """The difference, made smaller by taking the greatest of each block: a single wrong pixel stays visible."""
        width, height = self.sizes[0]
        step = math.ceil(max(width, height) / _THUMBNAIL)
        columns = np.arange(0, width, step)
        return np.stack([np.maximum.reduceat(strip.max(axis=(0, 2)), columns) for strip in self._strips(step)])


def _opened(body: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(body))
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    return image


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return small


def _uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG")
    return f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"
