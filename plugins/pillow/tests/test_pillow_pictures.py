"""WebP and AVIF pictures: how good they are, what they keep, the memory they take, and what becomes of failures."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import pytest
import sidecar_pillow
from PIL import Image, features
from sidecar_pillow import AvifFactory, AvifSettings, WebpFactory, WebpSettings

from sidecar.plugin import (
    Config,
    EncodeError,
    EncoderFactory,
    Frame,
    NeedsWholePicture,
    Pixels,
    Size,
    StartError,
    run_inline,
)
from sidecar.registry import Plugins
from sidecar.testing import resident, standstill
from sidecar.testing.contracts.encoder import encode

WEBP: Final = WebpFactory(WebpSettings())
AVIF: Final = AvifFactory(AvifSettings())
BOTH: Final = pytest.mark.parametrize("factory", [WEBP, AVIF], ids=["webp", "avif"])


def photograph(size: Size) -> Pixels:
    """Waves, edges and the noise of a sensor."""
    y, x = np.ogrid[: size.height, : size.width]
    waves = 120 + 60 * np.sin(x / 90 + y / 200) + 30 * np.sign(np.sin(x / 37) * np.cos(y / 23))
    noise = np.random.default_rng(0).normal(0, 4, (size.height, size.width, 3))
    return np.asarray(np.clip(waves[:, :, np.newaxis] + noise, 0, 255).astype(np.uint8))


def decoded(file: bytes) -> Pixels:
    """The pixels as Pillow shows them."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGBA" if image.mode.endswith("A") else "RGB"))


def decibels(one: Pixels, other: Pixels) -> float:
    """The peak signal-to-noise ratio."""
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


@BOTH
@pytest.mark.parametrize("size", [Size(512, 512), Size(301, 703)])
def test_as_good_as_jpeg(factory: EncoderFactory, size: Size) -> None:
    """A picture of the default quality is no worse than a JPEG of quality 80 of the same pixels, and smaller."""
    picture = photograph(size)
    jpeg = io.BytesIO()
    Image.fromarray(picture).save(jpeg, "JPEG", quality=80)
    file = encode(factory, Frame(size=size, channels=3), picture)
    assert decibels(decoded(file), picture) > decibels(decoded(jpeg.getvalue()), picture) - 0.3
    assert len(file) < len(jpeg.getvalue())


@BOTH
def test_grey_has_no_colours(factory: EncoderFactory) -> None:
    """Grey pictures come back grey, whatever the channels of the file."""
    picture = photograph(Size(200, 100))[..., :1]
    shown = decoded(encode(factory, Frame(size=Size(200, 100), channels=1), picture))
    assert np.ptp(shown.astype(np.int16), axis=2).max() <= 1
    assert decibels(shown, np.repeat(picture, 3, axis=2)) > 30


@BOTH
@pytest.mark.parametrize("channels", [2, 4])
def test_opacity_is_kept(factory: EncoderFactory, channels: int) -> None:
    """The alpha channel comes back nearly as it was, that of WebP exactly."""
    size = Size(120, 90)
    picture = photograph(size)[..., [0, 1, 2, 1]][..., -channels:].copy()
    picture[..., -1] = np.linspace(0, 255, 120).astype(np.uint8)
    alpha = decoded(encode(factory, Frame(size=size, channels=channels), picture))[..., 3].astype(np.int16)
    assert np.abs(alpha - picture[..., -1]).max() <= (0 if factory is WEBP else 12)


def test_black_and_white_webp_is_exact() -> None:
    """Bitonal WebP loses nothing, and is smaller than the lossy file."""
    bits = np.random.default_rng(0).integers(0, 2, (40, 50, 1), np.uint8).repeat(4, 0).repeat(4, 1) * np.uint8(255)
    exact, lossy = (
        encode(WEBP, Frame(size=Size(200, 160), channels=1, bitonal=bitonal), bits) for bitonal in (True, False)
    )
    assert np.array_equal(decoded(exact), np.repeat(bits, 3, axis=2))
    assert len(exact) < len(lossy) / 4


@pytest.mark.parametrize(
    "factory, frame",
    [
        (WEBP, Frame(size=Size(1500, 1000), channels=4)),
        (WEBP, Frame(size=Size(1500, 1000), channels=2)),
        (WEBP, Frame(size=Size(1500, 1000), channels=1, bitonal=True)),
        (WEBP, Frame(size=Size(1, 16383), channels=4)),
        (AVIF, Frame(size=Size(1000, 700), channels=4)),
        (AVIF, Frame(size=Size(1000, 700), channels=2)),
        (AVIF, Frame(size=Size(2, 16000), channels=3)),
        (AVIF, Frame(size=Size(16000, 70), channels=3)),
        (AvifFactory(AvifSettings(quality=100)), Frame(size=Size(1000, 700), channels=3)),
        (AvifFactory(AvifSettings(quality=100, speed=6)), Frame(size=Size(720, 720), channels=3)),
    ],
    ids=lambda each: (
        f"{each.size.width}x{each.size.height}x{each.channels}" if isinstance(each, Frame) else each.format
    ),
)
def test_memory_of_unusual_pictures(factory: EncoderFactory, frame: Frame) -> None:
    """Alpha, thin pictures and the best quality, which the contract does not try, keep to the memory that is stated."""
    shape = (frame.size.height, frame.size.width, frame.channels)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if frame.bitonal:
        noise = (noise & 128) // 128 * np.uint8(255)
    promised = factory.memory(frame) + resident.SLACK
    assert resident.growth(lambda: encode(factory, frame, noise), promised) <= promised


@BOTH
def test_others_go_on_meanwhile(factory: EncoderFactory) -> None:
    """Most of the time that a picture takes, other threads have the GIL."""
    size = Size(1200, 900)
    picture = photograph(size)
    call = lambda: encode(factory, Frame(size=size, channels=3), picture)  # noqa: E731
    assert min(standstill.of_threads(call).share for _ in range(5)) < 0.5


@BOTH
@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError, SystemError, TypeError, MemoryError])
def test_failures_of_pillow(factory: EncoderFactory, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Pillow raises arrives as EncodeError, with the format's name."""

    def fail(*_: object, **__: object) -> None:
        raise error("no frame")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(EncodeError, match=f"(?i){factory.format}: no frame"):
        encode(factory, Frame(size=Size(8, 8), channels=3), np.zeros((8, 8, 3), np.uint8))


def test_registered() -> None:
    """Both are registered with what decides their bytes, and each is left out if its most pixels are 0."""
    config = Config.of(WebpSettings(quality=55), AvifSettings(quality=44, speed=8, max_pixels=1000))
    encoders = Plugins([sidecar_pillow], installed=False).load(config, run_inline).encoders
    assert encoders["webp"].settings == f"quality=55 method=2 libwebp={features.version('webp')}"
    assert encoders["avif"].settings.startswith(f"quality=44 speed=8 libavif={features.version('avif')} ")
    assert isinstance(encoders["avif"], NeedsWholePicture)
    assert encoders["avif"].largest_area == 1000
    off = Config.of(WebpSettings(max_pixels=0), AvifSettings(max_pixels=0))
    assert Plugins([sidecar_pillow], installed=False).load(off, run_inline).encoders == {}


def test_pillow_without_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow built without libavif ends the start with what to do, unless AVIF is turned off."""
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    plugins = Plugins([sidecar_pillow], installed=False)
    with pytest.raises(StartError, match=r"without avif: pip install .*, or set SIDECAR_AVIF_MAX_PIXELS=0"):
        plugins.load(Config.of(), run_inline)
    assert [*plugins.load(Config.of(AvifSettings(max_pixels=0)), run_inline).encoders] == ["webp"]
