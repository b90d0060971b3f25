"""Conversion of decoded planes to 8-bit pixels, written into the caller's array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sidecar.plugin import DecodeError, Pixels, Unsupported
from sidecar.plugin.color import to_srgb
from sidecar_jp2.color.channels import Channel, ColorModel, Space
from sidecar_jp2.format.geometry import Pick

Values: TypeAlias = NDArray[np.int32]
"""Samples or channel values: shape (rows, columns)."""

BITS = 8
"""Bits of a converted value."""
ROWS_AT_ONCE = 64
"""Rows converted together if several steps are needed: few enough to stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one channel for a region: picked rows and columns of a plane."""

    channel: Channel
    plane: Values
    rows: Pick
    columns: Pick

    @property
    def all(self) -> Values:
        """All samples of the region, one for each pixel."""
        return self.plane[self.rows][:, self.columns]

    def values(self, start: int, stop: int) -> Values:
        """Return the channel's values in the rows `start` to `stop` of the region, from 0 to 2**precision - 1."""
        rows = self.rows[start:stop] if isinstance(self.rows, np.ndarray) else _part(self.rows, start, stop)
        samples = self.plane[rows][:, self.columns]
        if column := self.channel.column:
            return np.take(np.array(column.values, np.int32), samples, mode="clip")
        component = self.channel.component
        return samples + (1 << component.precision - 1) if component.signed else samples


def _part(rows: slice, start: int, stop: int) -> slice:
    return slice(rows.start + start, min(rows.start + stop, rows.stop))


def convert(model: ColorModel, samples: Sequence[Samples], pixels: Pixels) -> None:
    """Fill the pixels of a region: (rows, columns, model.depth). Raises DecodeError if the ICC profile is unusable."""
    if model.space in (Space.GREY, Space.RGB) and all(each.channel.direct for each in samples):
        for index, each in enumerate(samples):
            # Already clipped to 8 bits: OpenJPEG does so when it undoes the DC level shift (ITU-T T.800 G.1.2).
            pixels[..., index] = each.all
        return
    for top in range(0, len(pixels), ROWS_AT_ONCE):
        _convert_band(
            model, [each.values(top, top + ROWS_AT_ONCE) for each in samples], pixels[top : top + ROWS_AT_ONCE]
        )


def _convert_band(model: ColorModel, values: Sequence[Values], pixels: Pixels) -> None:
    precisions = [channel.precision for channel in model.channels]
    if model.alpha:
        pixels[..., -1] = eight_bits(values[-1], precisions[-1])
    if model.space is Space.CMYK:
        pixels[..., :3] = _cmyk(model, values, precisions)
        return
    colors = _rgb(values, precisions[0]) if model.space is Space.YCC else values[: model.space.colors]
    for index, (color, precision) in enumerate(zip(colors, precisions, strict=False)):
        pixels[..., index] = eight_bits(color, precision)


def eight_bits(values: Values, precision: int) -> Values:
    """Scale values of `precision` bits to 0 to 255.

    Deeper values are rounded as opj_decompress writes them to BMP, which is what Cantaloupe shows. Shallower ones,
    which Cantaloupe does not read, are spread over the whole range.
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


def _cmyk(model: ColorModel, values: Sequence[Values], precisions: Sequence[int]) -> Pixels:
    if model.icc:
        inks = np.stack([eight_bits(*pair) for pair in zip(values[:4], precisions[:4], strict=True)], -1)
        image = Image.fromarray(inks.astype(np.uint8), "CMYK")
        try:
            return np.asarray(to_srgb(image, model.icc))
        except Unsupported as error:
            raise DecodeError(f"colr: {error}") from error
    one = np.float32(1)
    light = [
        one - each * (one / np.float32((1 << bits) - 1)) for each, bits in zip(values[:4], precisions, strict=False)
    ]
    return np.stack([np.float32(255) * each * light[3] for each in light[:3]], -1).astype(np.uint8)
