"""Size and time of PNG files by the plugin's settings, and by Pillow.

Run as `python plugins/png/tests/measure_png.py PICTURE...`.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from PIL import Image
from sidecar_png import PngFactory, PngSettings

from sidecar.plugin import Frame, Pixels, Size
from sidecar.testing.contracts.encoder import encode

CHOICES = [("rle", 6), *(("default", level) for level in (1, 3, 6, 9))]


def by_plugin(factory: PngFactory, picture: Pixels) -> int:
    """Bytes of the file."""
    height, width, channels = picture.shape
    return len(encode(factory, Frame(size=Size(width, height), channels=channels), picture))


def by_pillow(picture: Pixels) -> int:
    """Bytes of the file that Pillow writes when told nothing."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return len(file.getvalue())


def row(name: str, pictures: Sequence[Pixels], make: Callable[[Pixels], int]) -> str:
    """Share of the raw size, and milliseconds of CPU for a megapixel, the best of three."""
    size, spent = 0, 0.0
    for picture in pictures:
        times = []
        for _ in range(3):
            start = time.thread_time()
            made = make(picture)
            times.append(time.thread_time() - start)
        size, spent = size + made, spent + min(times)
    pixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
    return f"{name:12} {size / sum(picture.nbytes for picture in pictures):6.1%} {spent * 1e9 / pixels:6.0f} ms/MP\n"


def main() -> None:
    """A table."""
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sys.argv[1:]]
    for strategy, level in CHOICES:
        factory = PngFactory(PngSettings.model_validate({"strategy": strategy, "level": level}))
        sys.stdout.write(row(f"{strategy} {level}", pictures, partial(by_plugin, factory)))
    sys.stdout.write(row("Pillow", pictures, by_pillow))


if __name__ == "__main__":
    main()
