"""PNG files against Pillow and zlib: every pixel comes back, and the file is as W3C PNG wants it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import sidecar_png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sidecar_png import PngFactory, PngSettings

from sidecar.plugin import Config, EncodeError, Frame, Pixels, Size, run_inline
from sidecar.registry import Plugins

FACTORY = PngFactory(PngSettings())


def encode(frame: Frame, parts: list[Pixels], factory: PngFactory = FACTORY) -> bytes:
    """The file of a picture that comes in any parts."""
    encoder = factory.start(frame)
    return b"".join([*map(encoder.write, parts), encoder.finish()])


def decoded(file: bytes) -> Pixels:
    """What Pillow reads."""
    with Image.open(io.BytesIO(file)) as image:
        pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    return pixels.reshape(*pixels.shape[:2], -1)


def chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of each chunk, with its CRC checked."""
    assert file.startswith(b"\x89PNG\r\n\x1a\n")
    at = 8
    while at < len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        data = file[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", file, at + 8 + length) == (zlib.crc32(kind + data),)
        yield kind, data
        at += 12 + length


def picture(width: int, height: int, channels: int, seed: int) -> Pixels:
    """Noise on a slope: neighbours alike and far apart, so that Paeth chooses each of its three."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[:, :, np.newaxis]
    return (slope + rng.integers(0, rng.choice([2, 30, 256]), (height, width, channels))).astype(np.uint8)


@given(
    width=st.integers(1, 70),
    heights=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    channels=st.integers(1, 4),
    chosen=st.sampled_from([("rle", 6), ("rle", 0), ("default", 1), ("default", 9)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_any_partition(width: int, heights: list[int], channels: int, chosen: tuple[str, int], seed: int) -> None:
    """Whatever the strips' heights and the settings, Pillow reads the very pixels."""
    strategy, level = chosen
    factory = PngFactory(PngSettings.model_validate({"strategy": strategy, "level": level}))
    pixels = picture(width, sum(heights), channels, seed)
    parts = np.split(pixels, np.cumsum(heights)[:-1])
    made = encode(Frame(size=Size(width, sum(heights)), channels=channels), parts, factory)
    assert np.array_equal(decoded(made), pixels)


@given(width=st.integers(1, 40), height=st.integers(1, 40), cut=st.integers(0, 39), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_black_and_white(width: int, height: int, cut: int, seed: int) -> None:
    """A bitonal frame is a file of 1 bit a pixel, whatever its width and parts."""
    pixels = np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (height, width, 1))
    parts = [part for part in (pixels[:cut], pixels[cut:]) if len(part)]
    made = encode(Frame(size=Size(width, height), channels=1, bitonal=True), parts)
    with Image.open(io.BytesIO(made)) as image:
        assert image.mode == "1"
    assert np.array_equal(decoded(made), pixels)


@pytest.mark.parametrize("cut", [np.s_[:, 3:33], np.s_[::-1, :30], np.s_[::2, ::-2], np.s_[7:8, :30][::-1]])
@pytest.mark.parametrize("bitonal", [False, True])
def test_strips_of_any_layout(cut: tuple[slice, slice], bitonal: bool) -> None:  # noqa: FBT001  # a parameter of pytest's
    """Strips cut from larger pictures, mirrored or thinned out, are read as they look."""
    view = np.where(picture(60, 50, 1, 3) >= 128, np.uint8(255), np.uint8(0))[cut]
    height, width, channels = view.shape
    assert np.array_equal(
        decoded(encode(Frame(size=Size(width, height), channels=channels, bitonal=bitonal), [view])), view
    )


def test_chunks() -> None:
    """IHDR, iCCP, IDAT and IEND stand in the order of W3C PNG section 5.6, and the profile has a name."""
    pixels = picture(400, 900, 3, 1)
    made = [*chunks(encode(Frame(size=Size(400, 900), channels=3, icc=b"a profile"), [pixels[:500], pixels[500:]]))]
    kinds = [kind for kind, _ in made]
    assert kinds[:2] == [b"IHDR", b"iCCP"]
    assert kinds[-1] == b"IEND"
    assert {*kinds[2:-1]} == {b"IDAT"}
    assert made[0][1] == struct.pack(">IIBBBBB", 400, 900, 8, 2, 0, 0, 0)
    name, _, rest = made[1][1].partition(b"\0")
    assert name == b"ICC profile"
    assert rest[:1] == b"\0"
    assert zlib.decompress(rest[1:]) == b"a profile"
    rows = zlib.decompress(b"".join(data for kind, data in made if kind == b"IDAT"))
    assert len(rows) == 900 * (1 + 3 * 400)


def test_pixels_leave_as_they_come() -> None:
    """The file does not wait for its end: most of the bytes of a strip are given with it."""
    pixels = picture(1000, 1000, 3, 0)
    encoder = FACTORY.start(Frame(size=Size(1000, 1000), channels=3))
    parts = [len(encoder.write(strip)) for strip in np.split(pixels, 4)]
    assert min(parts) > 0.8 * max(parts)
    assert len(encoder.finish()) < 0.2 * max(parts)


def test_photographs_are_smaller_than_raw_zlib() -> None:
    """The row filter earns its keep: soft waves with a sensor's noise take far less than zlib's best without one."""
    y, x = np.ogrid[:500, :500]
    waves = 128 + 60 * np.sin(x / 40) + 50 * np.cos(y / 60)
    noise = np.random.default_rng(0).normal(0, 2, (500, 500, 3))
    pixels = (waves[:, :, np.newaxis] + noise).astype(np.uint8)
    assert len(encode(Frame(size=Size(500, 500), channels=3), [pixels])) < 0.8 * len(zlib.compress(pixels.tobytes(), 9))


def test_settings_decide_the_bytes() -> None:
    """Files of the same pixels differ between settings, and so does what goes into their ETags."""
    pixels = np.tile(picture(40, 40, 3, 5), (5, 5, 1))
    factories = [
        PngFactory(PngSettings.model_validate({"strategy": strategy, "level": level}))
        for strategy, level in (("rle", 6), ("default", 1), ("default", 9))
    ]
    assert len({encode(Frame(size=Size(200, 200), channels=3), [pixels], factory) for factory in factories}) == 3
    assert len({factory.settings for factory in factories}) == 3


def test_zlib_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of zlib or of numpy's memory arrives as EncodeError."""

    def fail(*_: object) -> None:
        raise MemoryError

    encoder = FACTORY.start(Frame(size=Size(5, 5), channels=1))
    monkeypatch.setattr("sidecar_png.encoder.Paeth.__call__", fail)
    with pytest.raises(EncodeError):
        encoder.write(np.zeros((5, 5, 1), np.uint8))


def test_registered() -> None:
    """The plugin registers one encoder, told by the table `png`, that says in `settings` what decides its bytes."""
    config = Config.of(PngSettings(strategy="default", level=9))
    factory = Plugins([sidecar_png], installed=False).load(config, run_inline).encoders["png"]
    assert factory.media_type == "image/png"
    assert factory.settings.startswith("strategy=default level=9 ")
