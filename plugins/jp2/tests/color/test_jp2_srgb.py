"""Colours with an ICC profile: `to_srgb` makes of them what opj_decompress makes, and so Cantaloupe."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import compress, ihdr, jp2, profile, read

from sidecar.plugin import Pixels
from sidecar.plugin.color import to_srgb
from sidecar.testing.fakes import MemoryBlob

DECODER = Jp2Decoder(OpenJpeg(bind()))
SIZE = (64, 48)
D50 = (0.9642, 1.0, 0.8249)
ADOBE = {b"rXYZ": (0.6097, 0.3111, 0.0195), b"gXYZ": (0.2053, 0.6257, 0.0609), b"bXYZ": (0.1492, 0.0632, 0.7446)}
RGB_CURVES, GRAY_CURVES = (b"rTRC", b"gTRC", b"bTRC"), (b"kTRC",)


def xyz(values: tuple[float, ...]) -> bytes:
    """Return a tag of type XYZ (ICC.1:2010 §10.27)."""
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(exponent: float) -> bytes:
    """Return a curve with one exponent (ICC.1:2010 §10.5)."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def table(curve: Callable[[float], float]) -> bytes:
    """Return a sampled curve (ICC.1:2010 §10.5)."""
    samples = (round(65535 * curve(index / 255)) for index in range(256))
    return b"curv\0\0\0\0" + struct.pack(">I256H", 256, *samples)


def made(space: bytes, tags: Mapping[bytes, bytes], intent: int = 0) -> bytes:
    """Return a profile of a monitor (ICC.1:2010 §7) with a rendering intent in its header."""
    index, content = b"", b""
    for name, value in tags.items():
        index += name + struct.pack(">II", 132 + 12 * len(tags) + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    size = 132 + len(index) + len(content)
    head = struct.pack(">I4sI4s4s4s12s4s24xI", size, b"", 0x2400000, b"mntr", space, b"XYZ ", b"", b"acsp", intent)
    white = struct.pack(">3i", *(round(value * 65536) for value in D50))
    return head + white + bytes(48) + struct.pack(">I", len(tags)) + index + content


def rgb(curve: bytes, intent: int = 0, white: tuple[float, ...] = D50) -> bytes:
    """Return a profile of three primaries, Adobe RGB's, with a curve."""
    primaries = {name: xyz(values) for name, values in ADOBE.items()}
    return made(b"RGB ", {b"wtpt": xyz(white), **primaries, **dict.fromkeys(RGB_CURVES, curve)}, intent)


def gray(curve: bytes, intent: int = 0) -> bytes:
    """Return a profile of grey with a curve."""
    return made(b"GRAY", {b"wtpt": xyz(D50), **dict.fromkeys(GRAY_CURVES, curve)}, intent)


def both(icc: bytes, components: int, depth: int, folder: Path) -> tuple[Pixels, Pixels]:
    """Return a file of noise with a profile as `to_srgb` shows it, and as opj_decompress writes it to BMP."""
    random = np.random.default_rng(5)
    planes = [random.integers(0, 1 << depth, SIZE[::-1], np.uint16) for _ in range(components)]
    stream = compress(planes, SIZE, ((1, 1),) * components, depth=depth)
    content = jp2(stream, ihdr(components, SIZE, depth), profile(icc))
    file, bitmap = folder / "a.jp2", folder / "a.bmp"
    file.write_bytes(content)
    command = ["opj_decompress", "-quiet", "-i", str(file), "-o", str(bitmap)]
    subprocess.run(command, check=True, capture_output=True)  # fixed words and our own files
    blob = MemoryBlob("a.jp2", content)
    reader = DECODER.open(blob)
    assert reader.info.icc == icc
    pixels = read(reader, blob)
    shown = Image.fromarray(pixels if components > 1 else pixels[..., 0])
    with Image.open(bitmap) as image:
        return np.asarray(to_srgb(shown, icc)), np.asarray(image.convert("RGB"))


EIGHT_BITS = {
    "gamma": (rgb(gamma(2.2)), 3),
    "relative": (rgb(gamma(1.8), 1), 3),
    "saturation": (rgb(gamma(1.8), 2), 3),
    "absolute": (rgb(gamma(1.8), 3, (0.95, 1.0, 1.09)), 3),
    "table": (rgb(table(lambda value: value**1.9)), 3),
    "grey": (gray(gamma(2.2)), 1),
    "linear grey": (gray(gamma(1)), 1),
    "grey by a table": (gray(table(lambda value: value**1.7), 1), 1),
}


@pytest.mark.parametrize("name", EIGHT_BITS)
def test_equals_opj_decompress(name: str, tmp_path: Path) -> None:
    """At 8 bits every sample is equal, whatever curve and intent a profile has."""
    icc, components = EIGHT_BITS[name]
    got, expected = both(icc, components, 8, tmp_path)
    assert np.array_equal(got, expected)


def test_sixteen_bits_are_close(tmp_path: Path) -> None:
    """At 16 bits, which are reduced first, the difference is below half a level on average."""
    got, expected = both(rgb(gamma(2.2)), 3, 16, tmp_path)
    assert np.abs(got.astype(int) - expected).mean() < 0.5
