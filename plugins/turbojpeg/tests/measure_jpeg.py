"""Megapixels for a second of CPU: strips of several heights beside one call for the whole picture.

Run as `python plugins/turbojpeg/tests/measure_jpeg.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.encoder import JpegEncoder
from sidecar_turbojpeg.library import Compressor, Options, load

from sidecar.plugin import Frame, Pixels, Size
from sidecar.testing.contracts.encoder import encode

SIZES = (Size(512, 512), Size(1024, 1024), Size(4000, 3000), Size(16000, 1500))
HEIGHTS = (128, 256, 512, 1024)
AS_SET = Options(80, 0, 2)


def photograph(size: Size) -> Pixels:
    """Waves, edges and the noise of a sensor."""
    y, x = np.ogrid[: size.height, : size.width]
    waves = 120 + 60 * np.sin(x / 90 + y / 200) + 30 * np.sign(np.sin(x / 37) * np.cos(y / 23))
    noise = np.random.default_rng(0).normal(0, 4, (size.height, size.width, 3))
    return np.asarray(np.clip(waves[:, :, np.newaxis] + noise, 0, 255).astype(np.uint8))


def speed(size: Size, make: Callable[[], object]) -> str:
    """The best of seven, in megapixels for a second of CPU, which others on the machine disturb least."""
    best = float("inf")
    for _ in range(7):
        start = time.thread_time()
        make()
        best = min(best, time.thread_time() - start)
    return f"{size.area / 1e6 / best:10.0f}"


def strips(compress: Compressor, picture: Pixels, rows: int) -> bytes:
    """The file by strips of a height of our choice."""
    height, width, channels = picture.shape
    encoder = JpegEncoder(Frame(size=Size(width, height), channels=channels), rows, AS_SET, compress)
    parts = [encoder.write(picture[at : at + rows]) for at in range(0, height, rows)]
    return b"".join((*parts, encoder.finish()))


def main() -> None:
    """A table."""
    compress = load(*sys.argv[1:])
    factory = JpegFactory(JpegSettings(), compress)
    sys.stdout.write(f"{'':12}{'whole':>10}{'as set':>10}" + "".join(f"{rows:>10}" for rows in HEIGHTS) + "\n")
    for size in SIZES:
        picture = photograph(size)
        makers = (
            partial(compress, picture, AS_SET),
            partial(encode, factory, Frame(size=size, channels=3), picture),
            *(partial(strips, compress, picture, rows) for rows in HEIGHTS),
        )
        sys.stdout.write(f"{size.width:>5} x {size.height:<4}" + "".join(speed(size, make) for make in makers) + "\n")


if __name__ == "__main__":
    main()
