"""From OpenJPEG's planes of samples to pixels of 8 bits, in their place."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sidecar.errors import DecodeError
from sidecar.model import Pixels
from sidecar_jp2.channels import Channel, Picture, Space
from sidecar_jp2.geometry import Pick
from sidecar_jp2.openjpeg import Plane

Values: TypeAlias = NDArray[np.int32]

BITS = 8
"""Of the pixels given."""
BAND = 64
"""Rows converted at a time where values pass through several steps: so many stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one channel for a region: those picked from a plane."""

    channel: Channel
    plane: Plane
    rows: Pick
    columns: Pick

    @property
    def all(self) -> Values:
        """One sample for each pixel."""
        return self.plane[self.rows][:, self.columns]

    def values(self, start: int, stop: int) -> Values:
        """The channel's values in some rows of the region, from 0 up to its precision."""
        rows = self.rows[start:stop] if isinstance(self.rows, np.ndarray) else _part(self.rows, start, stop)
        samples = self.plane[rows][:, self.columns]
        if column := self.channel.column:
            return np.take(np.array(column.values, np.int32), samples, mode="clip")
        component = self.channel.component
        return samples + (1 << component.precision - 1) if component.signed else samples


def _part(rows: slice, start: int, stop: int) -> slice:
    return slice(rows.start + start, min(rows.start + stop, rows.stop))


def convert(picture: Picture, samples: Sequence[Samples], pixels: Pixels) -> None:
    """Make the pixels of a region: (rows, columns, picture.depth). Raises DecodeError for a useless ICC profile."""
    if picture.space in (Space.GREY, Space.RGB) and all(each.channel.direct for each in samples):
        for index, each in enumerate(samples):
            # OpenJPEG has clipped them to their precision when it undid the DC level shift (ITU-T T.800 G.1.2).
            pixels[..., index] = each.all
        return
    for top in range(0, len(pixels), BAND):
        _convert_band(picture, [each.values(top, top + BAND) for each in samples], pixels[top : top + BAND])


def _convert_band(picture: Picture, values: Sequence[Values], pixels: Pixels) -> None:
    precisions = [channel.precision for channel in picture.channels]
    if picture.alpha:
        pixels[..., -1] = eight_bits(values[-1], precisions[-1])
    if picture.space is Space.CMYK:
        pixels[..., :3] = _cmyk(picture, values, precisions)
        return
    colours = _rgb(values, precisions[0]) if picture.space is Space.YCC else values[: picture.space.colours]
    for index, (colour, precision) in enumerate(zip(colours, precisions, strict=False)):
        pixels[..., index] = eight_bits(colour, precision)


def eight_bits(values: Values, precision: int) -> Values:
    """Values of `precision` bits as 0 to 255.

    Deeper ones are rounded as opj_decompress writes them to BMP, which is what Cantaloupe shows; fewer bits, which it
    does not read, are spread over the whole range.
    """
    if precision > BITS:
        drop = precision - BITS
        return np.minimum((values >> drop) + ((values >> (drop - 1)) & 1), 255)
    if precision < BITS:
        most = (1 << precision) - 1
        return (values * 255 + most // 2) // most
    return values


def _rgb(values: Sequence[Values], precision: int) -> Sequence[Values]:
    """Convert sYCC (IEC 61966-2-1 amendment 1) with the coefficients and the truncation of opj_decompress."""
    luma, blue, red = values[:3]
    red_of, green_of_blue, green_of_red, blue_of = _chroma_tables(precision)
    green = (green_of_blue[blue] + green_of_red[red]).astype(np.int32)
    most = (1 << precision) - 1
    return [np.clip(each, 0, most) for each in (luma + red_of[red], luma - green, luma + blue_of[blue])]


@lru_cache(maxsize=4)
def _chroma_tables(
    precision: int,
) -> tuple[Values, NDArray[np.float64], NDArray[np.float64], Values]:
    chroma = np.arange(1 << precision, dtype=np.float64) - (1 << precision - 1)
    return (1.402 * chroma).astype(np.int32), 0.344 * chroma, 0.714 * chroma, (1.772 * chroma).astype(np.int32)


def _cmyk(picture: Picture, values: Sequence[Values], precisions: Sequence[int]) -> Pixels:
    if picture.icc:
        inks = np.stack([eight_bits(*pair) for pair in zip(values[:4], precisions[:4], strict=True)], -1)
        image = Image.fromarray(inks.astype(np.uint8), "CMYK")
        try:
            return np.asarray(_to_srgb(picture.icc).apply(image))
        except (ImageCms.PyCMSError, OSError) as error:
            raise DecodeError(f"colr: the ICC profile: {error}") from error
    one = np.float32(1)
    light = [
        one - each * (one / np.float32((1 << bits) - 1)) for each, bits in zip(values[:4], precisions, strict=False)
    ]
    return np.stack([np.float32(255) * each * light[3] for each in light[:3]], -1).astype(np.uint8)


@lru_cache(maxsize=4)
def _to_srgb(icc: bytes) -> ImageCms.ImageCmsTransform:
    from_profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    to_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(from_profile, to_profile, "CMYK", "RGB")
