"""What happens to pixels between decoder and encoder: small functions, each from strip to strip.

All of them work on strips in the orientation of the answer, so that rows come in the order in which they are sent.
Every library call in here lets go of the GIL while it works (NumPy's loops, Pillow's resize).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sidecar.iiif.geometry import Orientation
from sidecar.model import Pixels, Size

_GRAY_ALPHA: Final = 2
_RGB: Final = 3
_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class Filter(NamedTuple):
    """A resampling filter of Pillow's."""

    kernel: Image.Resampling
    support: float
    """In source pixels at a ratio of 1 (Pillow, src/libImaging/Resample.c)."""
    nudge: float = 0.0
    """Where the centre of a target pixel lies exactly between two source pixels, a box filter takes one of them.
    Pillow keeps the box in single precision, so without a nudge rounding would decide differently in each strip."""


_FILTERS: Final = {
    "box": Filter(Image.Resampling.BOX, 0.5, 1 / 1024),
    "triangle": Filter(Image.Resampling.BILINEAR, 1.0),
    "hermite": Filter(Image.Resampling.HAMMING, 1.0),
    "mitchell": Filter(Image.Resampling.BICUBIC, 2.0),
    "bicubic": Filter(Image.Resampling.BICUBIC, 2.0),
    "lanczos3": Filter(Image.Resampling.LANCZOS, 3.0),
}


# Cantaloupe's resampling takes source pixel j to lie at j, not at j + 1/2, so that its scaled pictures lie half a
# source pixel to the upper left. Same URL, same pixels: the shift is worth a mean difference of 2 to 6 levels.
_SHIFT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows `start` to `stop` (exclusive) of a picture."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """Resampling of a whole picture, done strip by strip.

    Pillow's `resize` takes a fractional box and reaches beyond it for the filter's support as far as the strip has
    rows; with `support * ratio + 1` rows of margin each strip equals that part of the whole but for rounding.
    """

    source: Size
    target: Size
    filter: str
    shift: tuple[float, float] = (_SHIFT, _SHIFT)
    """By how many source pixels the samples are taken further right and further down."""

    def rows(self, wanted: Rows) -> Rows:
        """The source rows that some rows of the target are made from."""
        ratio = self.source.height / self.target.height
        margin = _FILTERS[self.filter].support * max(ratio, 1.0) + 2
        return Rows(
            max(0, int(wanted.start * ratio - margin)),
            min(self.source.height, int(wanted.stop * ratio + margin) + 1),
        )

    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Rows `wanted` of the target from a strip that holds `have` (at least `rows(wanted)`) of the source."""
        kernel = _FILTERS[self.filter]
        ratio = self.source.height / self.target.height
        # A frame of one pixel, so that the shift may reach beyond the edge.
        picture = _picture(np.pad(strip, ((1, 1), (1, 1), (0, 0)), mode="edge"))
        left = 1 + self.shift[0]
        top, bottom = (
            1 + self.shift[1] + kernel.nudge + row * ratio - have.start for row in (wanted.start, wanted.stop)
        )
        across = (left, 0.0, left + self.source.width, float(picture.height))
        # Pillow refuses a box that exceeds the picture by a rounding error.
        down = (0.0, top, float(self.target.width), min(bottom, float(picture.height)))
        # One direction after the other: asked for both, Pillow begins with the one that is cheaper for these very
        # sizes, and what is clipped between them differs (by up to 14 levels where bicubic overshoots).
        narrow = picture.resize((self.target.width, picture.height), kernel.kernel, box=across)
        return _pixels(narrow.resize((self.target.width, wanted.stop - wanted.start), kernel.kernel, box=down))


def shift(orientation: Orientation) -> tuple[float, float]:
    """Cantaloupe's shift as it lies in an oriented picture: it scales first and turns then."""
    x, y = (-_SHIFT if orientation.mirror else _SHIFT), _SHIFT
    for _ in range(orientation.quarter_turns):
        x, y = -y, x
    return x, y


def orient(band: Pixels, orientation: Orientation) -> Pixels:
    """A view of a band, mirrored left to right first and then turned clockwise (Image API 3.0 §4.3)."""
    mirrored = band[:, ::-1] if orientation.mirror else band
    return np.rot90(mirrored, -orientation.quarter_turns)


def gray(strip: Pixels) -> Pixels:
    """Luma of RGB with the weights and the rounding down of Cantaloupe (0.21, 0.71, 0.07); alpha is kept."""
    channels = strip.shape[2]
    if channels <= _GRAY_ALPHA:
        return strip
    # Pillow adds a half before it cuts the fraction off.
    luma = _pixels(_picture(strip[:, :, :3]).convert("L", (0.21, 0.71, 0.07, -0.5)))
    return luma if channels == _RGB else np.concatenate([luma, strip[:, :, 3:]], axis=2)


def red(strip: Pixels) -> Pixels:
    """The first channel alone: what Cantaloupe makes its bitonal pictures from."""
    return strip[:, :, :1]


def otsu(histogram: NDArray[np.int64]) -> int:
    """The grey level that parts a histogram (256 counts) best: Otsu 1979, between-class variance; ties to the lowest.

    Levels above it become white.
    """
    levels = np.arange(256)
    below = np.cumsum(histogram)
    above = below[-1] - below
    sums = np.cumsum(histogram * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = below * above * (sums / below - (sums[-1] - sums) / above) ** 2.0
    return int(np.argmax(np.nan_to_num(variance, nan=0.0, posinf=0.0)))


def bitonal(strip: Pixels, threshold: int) -> Pixels:
    """0 up to the threshold, 255 above it."""
    return np.where(strip > threshold, np.uint8(255), np.uint8(0))


def flatten(strip: Pixels, background: tuple[int, int, int]) -> Pixels:
    """The strip without its alpha channel, on a background colour."""
    alpha = strip[:, :, -1:].astype(np.uint16)
    color = strip[:, :, :-1]
    below = np.array(background if color.shape[2] > 1 else [_luma(background)], np.uint16)
    mixed = color * alpha + below * (255 - alpha) + 127
    return (mixed // 255).astype(np.uint8)


def _luma(color: tuple[int, int, int]) -> int:
    red, green, blue = color
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


def _picture(strip: Pixels) -> Image.Image:
    height, width, channels = strip.shape
    whole = np.ascontiguousarray(strip)
    return Image.frombuffer(_MODES[channels], (width, height), whole, "raw", _MODES[channels], 0, 1)


def _pixels(picture: Image.Image) -> Pixels:
    pixels = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], -1)
