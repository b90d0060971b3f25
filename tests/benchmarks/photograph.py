"""A picture like a photograph: structure of all sizes, edges, and a sensor's noise in each channel.

Smooth pictures flatter a codec: they leave its code blocks nearly empty. Made strip by strip, so a picture of any size
takes little memory; the same for the same size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sidecar.plugin import Pixels, Size

STRUCTURE: Mapping[int, float] = {1000: 45, 250: 22, 60: 12, 15: 7, 5: 4}
"""Pixels from one swell to the next, and how strong it is in grey levels."""
TINT, TINT_CELL = 15, 400
"""How far the channels go apart."""
NOISE = 2.5
"""Standard deviation of a sensor's noise at low sensitivity, in grey levels."""
SHAPES = 1500
SUPPORT = 2
"""Cells on each side that bicubic interpolation looks at."""
STRIP = 1000


class Swell:
    """Smooth noise: a coarse grid of random numbers, interpolated."""

    def __init__(self, noise: np.random.Generator, size: Size, cell: int, strength: float) -> None:
        columns, rows = -(-size.width // cell) + 1, -(-size.height // cell) + 1 + 2 * SUPPORT
        grid = noise.standard_normal((rows, columns), np.float32) * np.float32(strength)
        self._grid, self._cell, self._width = Image.fromarray(grid), cell, size.width

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Some rows; they fit those above and below, whatever is asked in one go."""
        margin = SUPPORT * self._cell
        box = (0, start / self._cell, self._width / self._cell, (stop + 2 * margin) / self._cell)
        tall = (self._width, stop - start + 2 * margin)
        return np.asarray(self._grid.resize(tall, Image.Resampling.BICUBIC, box))[margin:-margin]


def shapes(noise: np.random.Generator, size: Size) -> Image.Image:
    """Grey shapes with sharp edges on black."""
    canvas = Image.new("L", (size.width, size.height))
    draw = ImageDraw.Draw(canvas)
    for _ in range(SHAPES):
        x, y = int(noise.integers(size.width)), int(noise.integers(size.height))
        radius, grey = int(noise.integers(10, 400)), int(noise.integers(255))
        match int(noise.integers(4)):
            case 0:
                draw.ellipse((x - radius, y - radius // 2, x + radius, y + radius // 2), fill=grey)
            case 1:
                draw.rectangle((x, y, x + radius, y + radius // 3), fill=grey)
            case 2:
                draw.line((x, y, x + 2 * radius, y + radius), fill=grey, width=radius // 50 + 1)
            case _:
                draw.polygon([(x, y), (x + radius, y + radius // 2), (x - radius // 3, y + radius)], fill=grey)
    return canvas


def strips(size: Size) -> Iterator[Pixels]:
    """The picture from top to bottom."""
    noise = np.random.default_rng(7)
    base = [Swell(noise, size, cell, strength) for cell, strength in STRUCTURE.items()]
    tints = [Swell(noise, size, TINT_CELL, TINT) for _ in range(3)]
    drawn = shapes(noise, size)
    for start in range(0, size.height, STRIP):
        stop = min(start + STRIP, size.height)
        edges = np.asarray(drawn.crop((0, start, size.width, stop)), np.float32) * 0.35 - 35
        grey = 120 + sum((swell.rows(start, stop) for swell in base), edges * 0)
        pixels = np.empty((stop - start, size.width, 3), np.uint8)
        for channel, tint in enumerate(tints):
            light = grey + edges * (1 - 0.3 * channel) + tint.rows(start, stop)
            light += NOISE * noise.standard_normal(light.shape, np.float32)
            pixels[..., channel] = np.clip(light, 0, 255)
        yield pixels


def write(path: Path, size: Size) -> None:
    """Write it as a PPM file."""
    with path.open("wb") as file:
        file.write(b"P6\n%d %d\n255\n" % (size.width, size.height))
        for strip in strips(size):
            file.write(strip.tobytes())
