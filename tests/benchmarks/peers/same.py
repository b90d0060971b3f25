"""Whether peers give the same pictures: pixels, quality and subsampling."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import Image, JpegImagePlugin

from tests.benchmarks.peers.client import Connections
from tests.benchmarks.peers.peer import QUALITY, Server
from tests.benchmarks.peers.picture import Picture

DIFFERENCE: Final = 1.5
"""Grey levels, on the average, that two JPEGs of the same pixels may differ by."""
SAMPLING_420: Final = 2
"""As Pillow numbers it."""
WORDS: Final = "2048,2048,512,512/512,/0/default.jpg"


def check(servers: Mapping[str, Server], picture: Picture) -> None:
    """Refuse to compare servers whose responses differ; raises AssertionError."""
    found = {}
    for name, server in servers.items():
        asker = server.ask(picture.name, 1)
        if isinstance(asker, Connections):
            _, body = asker.read(WORDS)
            found[name] = pixels(name, body)
        asker.close()
    first = next(iter(found.values()))
    for name, each in found.items():
        difference = float(np.abs(each - first).mean())
        if difference > DIFFERENCE:
            raise AssertionError(f"{picture.name}: {name} differs by {difference:.1f} grey levels")


def pixels(name: str, body: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """Return the pixels of a JPEG; raises AssertionError if it was not encoded as all others."""
    with Image.open(io.BytesIO(body)) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile), f"{name}: no JPEG"
        sampling = JpegImagePlugin.get_sampling(image)
        assert sampling == SAMPLING_420, f"{name}: not 4:2:0"
        assert close(image.quantization), f"{name}: not quality {QUALITY}"
        return np.asarray(image.convert("RGB"), np.int16)


def close(tables: Mapping[int, list[int]]) -> bool:
    """Whether quantization tables are those of the quality, but for rounding."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=QUALITY)
    with Image.open(file) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        wanted = image.quantization
    return all(np.abs(np.subtract(tables[number], table)).max() <= 1 for number, table in wanted.items())
