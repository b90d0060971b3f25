"""Bytes and time of WebP and AVIF beside a JPEG of quality 80 that is no better, for tiles of photographs.

Run as `python plugins/pillow/tests/measure_pillow.py PICTURE...`: of each the middle 512 x 512 pixels are taken.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sidecar_pillow import AvifFactory, AvifSettings, WebpFactory, WebpSettings

from sidecar.plugin import EncoderFactory, Frame, Pixels, Size
from sidecar.testing.contracts.encoder import encode

SIDE: Final = 512
QUALITIES: Final = (58, 62, 66, 72, 78, 84)
SPEEDS: Final = (9, 8, 7, 6)


@dataclass(frozen=True, slots=True)
class Made:
    """Means over the tiles: bytes, milliseconds of CPU, dB of PSNR, SSIM of the luma."""

    size: float
    milliseconds: float
    psnr: float
    ssim: float


def middle(path: str) -> Pixels:
    """The middle of a picture."""
    with Image.open(path) as image:
        left, top = (max(0, (side - SIDE) // 2) for side in image.size)
        return np.asarray(image.convert("RGB"))[top : top + SIDE, left : left + SIDE].copy()


def by_factory(factory: EncoderFactory, tile: Pixels) -> bytes:
    """The file as the core has it made."""
    height, width, channels = tile.shape
    return encode(factory, Frame(size=Size(width, height), channels=channels), tile)


def by_jpeg(tile: Pixels) -> bytes:
    """A baseline JPEG of quality 80, 4:2:0."""
    file = io.BytesIO()
    Image.fromarray(tile).save(file, "JPEG", quality=80)
    return file.getvalue()


def means(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each 8 x 8 pixels."""
    sums = np.pad(pixels.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return np.asarray((sums[8:, 8:] - sums[:-8, 8:] - sums[8:, :-8] + sums[:-8, :-8]) / 64)


def ssim(one: Pixels, other: Pixels) -> float:
    """Structural similarity of the luma (Wang et al. 2004, K1 = 0.01, K2 = 0.03), in windows of 8 x 8."""
    x, y = (pixels @ np.array([0.299, 0.587, 0.114]) for pixels in (one, other))
    mx, my = means(x), means(y)
    vx, vy, cov = means(x * x) - mx * mx, means(y * y) - my * my, means(x * y) - mx * my
    return float(((2 * mx * my + 6.5) * (2 * cov + 58.5) / ((mx * mx + my * my + 6.5) * (vx + vy + 58.5))).mean())


def measure(tiles: Sequence[Pixels], make: Callable[[Pixels], bytes]) -> Made:
    """Make each tile twice, and take the quicker time."""
    rows = []
    for tile in tiles:
        times = []
        for _ in range(2):
            start = time.thread_time()
            file = make(tile)
            times.append(time.thread_time() - start)
        with Image.open(io.BytesIO(file)) as image:
            shown = np.asarray(image.convert("RGB"))
        psnr = 10 * np.log10(255**2 / np.square(tile.astype(float) - shown).mean())
        rows.append((len(file), min(times) * 1e3, psnr, ssim(tile, shown)))
    return Made(*(float(mean) for mean in np.mean(rows, axis=0)))


def row(name: str, tiles: Sequence[Pixels], jpeg: Made, factory: Callable[[int], EncoderFactory]) -> str:
    """Bytes at equal PSNR and at equal SSIM, and the time, between the qualities that were tried."""
    made = [measure(tiles, partial(by_factory, factory(quality))) for quality in QUALITIES]
    psnr, ssims = [each.psnr for each in made], [each.ssim for each in made]
    parts = [name]
    for wanted, have in ((jpeg.psnr, psnr), (jpeg.ssim, ssims)):
        size = np.exp(np.interp(wanted, have, np.log([each.size for each in made])))
        parts.append(f"{size / jpeg.size:.0%} (quality {np.interp(wanted, have, QUALITIES):.0f})")
    return " | ".join((*parts, f"{np.interp(jpeg.psnr, psnr, [each.milliseconds for each in made]):.0f} ms\n"))


def webp(quality: int) -> EncoderFactory:
    """The encoder of WebP at a quality."""
    return WebpFactory(WebpSettings(quality=quality))


def avif(speed: int, quality: int) -> EncoderFactory:
    """The encoder of AVIF at a speed and a quality."""
    return AvifFactory(AvifSettings(quality=quality, speed=speed))


def main() -> None:
    """A table."""
    tiles = [middle(path) for path in sys.argv[1:]]
    jpeg = measure(tiles, by_jpeg)
    found = f"{jpeg.size:.0f} bytes, {jpeg.psnr:.1f} dB, SSIM {jpeg.ssim:.3f} | {jpeg.milliseconds:.1f} ms"
    sys.stdout.write(f"JPEG 80 | {found}\n")
    sys.stdout.write(row("WebP", tiles, jpeg, webp))
    for speed in SPEEDS:
        sys.stdout.write(row(f"AVIF, speed {speed}", tiles, jpeg, partial(avif, speed)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
