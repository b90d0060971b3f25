"""The decoder of PGM and PPM keeps the contract of decoders."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sidecar_netpbm import NetpbmDecoder

from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.fakes import MemoryBlob


def netpbm(width: int, height: int, channels: int, seed: int) -> bytes:
    """Return a file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return b"P%d %d %d 255\n" % (5 if channels == 1 else 6, width, height) + pixels.tobytes()


GREY = netpbm(640, 480, 1, seed=0)
COLOR = netpbm(1001, 733, 3, seed=1)


class TestNetpbm(DecoderContract):
    """Grey and colour, and files that are cut, empty or too deep."""

    decoder = NetpbmDecoder()
    samples: ClassVar = {
        "grey": lambda _: MemoryBlob("grey.pgm", GREY),
        "color": lambda _: MemoryBlob("color.ppm", COLOR),
    }
    nasties: ClassVar = {
        "cut": lambda _: MemoryBlob("cut.pgm", GREY[:-1]),
        "empty": lambda _: MemoryBlob("empty.pgm", b"P5 0 0 255\n"),
        "deep": lambda _: MemoryBlob("deep.pgm", b"P5 2 2 65535\n" + bytes(8)),
    }
