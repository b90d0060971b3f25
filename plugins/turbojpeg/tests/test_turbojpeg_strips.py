"""JPEG files made in strips: byte for byte what one call for the whole picture makes."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import sidecar_turbojpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import Compressor, Options, load

from sidecar.plugin import Config, EncodeError, Frame, Pixels, Size, StartError, run_inline
from sidecar.registry import Plugins
from sidecar.testing.contracts.encoder import encode

# Further libraries to hold to the same laws, libjpeg-turbo 3 beside 2: paths with colons between.
PATHS = ["", *filter(None, os.environ.get("SIDECAR_TEST_TURBOJPEG", "").split(":"))]
LIBRARIES = [load(path) for path in PATHS]
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
GREY = 3

pictures = st.tuples(st.integers(1, 2600), st.integers(1, 700), st.sampled_from([1, 3]), st.integers(0, 9))


def noise(width: int, height: int, channels: int, seed: int) -> Pixels:
    """Patches of noise: some blocks full of coefficients, some flat."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 11 + 1, width // 11 + 1, channels), np.uint8)
    return np.ascontiguousarray(small.repeat(11, 0).repeat(11, 1)[:height, :width])


def whole(compress: Compressor, picture: Pixels, given_settings: JpegSettings) -> bytes:
    """The picture in one call."""
    grey = picture.shape[2] == 1
    subsampling = GREY if grey else SAMPLINGS[given_settings.subsampling]
    return compress(picture, Options(given_settings.quality, 6 if grey else 0, subsampling))


def in_strips(compress: Compressor, picture: Pixels, given_settings: JpegSettings) -> bytes:
    """The picture as the core has it made."""
    height, width, channels = picture.shape
    return encode(JpegFactory(given_settings, compress), Frame(size=Size(width, height), channels=channels), picture)


@pytest.mark.parametrize("compress", LIBRARIES)
@given(shape=pictures, quality=st.integers(1, 100), subsampling=st.sampled_from(sorted(SAMPLINGS)))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_equal_to_one_call(
    compress: Compressor, shape: tuple[int, int, int, int], quality: int, subsampling: str
) -> None:
    """Whatever size, quality and subsampling, no byte differs from compressing the whole picture."""
    chosen = JpegSettings.model_validate({"quality": quality, "subsampling": subsampling})
    picture = noise(*shape)
    assert in_strips(compress, picture, chosen) == whole(compress, picture, chosen)


@pytest.mark.parametrize("compress", LIBRARIES)
@pytest.mark.parametrize("subsampling", sorted(SAMPLINGS))
def test_many_strips(compress: Compressor, subsampling: str) -> None:
    """So it is over dozens of strips with a ragged last one."""
    chosen = JpegSettings.model_validate({"subsampling": subsampling})
    picture = noise(4100, 3001, 3, 1)
    assert in_strips(compress, picture, chosen) == whole(compress, picture, chosen)


@pytest.mark.parametrize("compress", LIBRARIES)
def test_every_library_makes_the_same(compress: Compressor) -> None:
    """libjpeg-turbo 2 and 3 are driven so that their files are equal."""
    picture = noise(1000, 700, 3, 2)
    chosen = JpegSettings()
    assert in_strips(compress, picture, chosen) == in_strips(LIBRARIES[0], picture, chosen)


@pytest.mark.parametrize("compress", LIBRARIES)
@pytest.mark.parametrize("subsampling", sorted(SAMPLINGS))
def test_pillow_sees_the_sampling(compress: Compressor, subsampling: str) -> None:
    """The chroma planes are as large as the setting says, the density is that of a plain JFIF header."""
    chosen = JpegSettings.model_validate({"subsampling": subsampling})
    with Image.open(io.BytesIO(in_strips(compress, noise(64, 64, 3, 0), chosen))) as image:
        sampling = [(layer[1], layer[2]) for layer in image.layer]  # type: ignore[attr-defined]  # of JPEG images only
        assert sampling[0] == {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}[subsampling]
        assert image.info["jfif_density"] == (1, 1)


@pytest.mark.parametrize("compress", LIBRARIES)
@pytest.mark.parametrize("cut", [np.s_[:, 3:303], np.s_[::-1, :300], np.s_[:300:-1, ::2], np.s_[7:8, :300][::-1]])
def test_strips_of_any_layout(compress: Compressor, cut: tuple[slice, slice]) -> None:
    """Strips cut from larger pictures, mirrored or thinned out, give what a copy in plain order gives."""
    view = noise(600, 500, 3, 3)[cut]
    assert in_strips(compress, view, JpegSettings()) == in_strips(compress, view.copy(), JpegSettings())


def test_short_strip_amid_others() -> None:
    """A strip that ends where no RST7 stands cannot be joined, and is refused."""
    frame = Frame(size=Size(300, 5000), channels=3)
    factory = JpegFactory(JpegSettings(), LIBRARIES[0])
    with pytest.raises(EncodeError):
        factory.start(frame).write(np.zeros((factory.rows(frame) - 1, 300, 3), np.uint8))


def test_profile_too_long() -> None:
    """A profile that 255 segments do not hold is refused before the first pixel."""
    factory = JpegFactory(JpegSettings(), LIBRARIES[0])
    factory.start(Frame(size=Size(8, 8), channels=3, icc=bytes(255 * 65519)))
    with pytest.raises(EncodeError):
        factory.start(Frame(size=Size(8, 8), channels=3, icc=bytes(255 * 65519 + 1)))


def test_profile_leaves_the_rest_alone() -> None:
    """The file without its APP2 segment is the file made without a profile."""
    picture, factory = noise(40, 40, 3, 4), JpegFactory(JpegSettings(), LIBRARIES[0])
    plain, described = (
        encode(factory, Frame(size=Size(40, 40), channels=3, icc=icc), picture) for icc in (None, b"profile")
    )
    segment = b"\xff\xe2\x00\x17ICC_PROFILE\0\x01\x01profile"
    assert described.replace(segment, b"", 1) == plain
    assert described.index(segment) == 20  # after SOI and the 18 bytes of JFIF


@pytest.mark.parametrize("compress", LIBRARIES)
def test_what_the_library_refuses(compress: Compressor) -> None:
    """An error of libjpeg-turbo arrives as EncodeError with its text."""
    with pytest.raises(EncodeError, match=r"libjpeg-turbo: .*(Invalid argument|out of range)"):
        compress(np.zeros((8, 8, 3), np.uint8), Options(1000, 0, 0))


@pytest.mark.parametrize("path", ["/nowhere/libturbojpeg.so.0", "libm.so.6"])
def test_library_missing(path: str) -> None:
    """No library, or one that is another, ends the start with the name of the package to install."""
    with pytest.raises(StartError, match="libturbojpeg0"):
        load(path)


def test_no_library_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is where the system has none."""
    monkeypatch.setattr("sidecar_turbojpeg.library.find_library", lambda _: None)
    monkeypatch.setattr("turbojpeg.DEFAULT_LIB_PATHS", {})
    with pytest.raises(StartError, match="libturbojpeg0"):
        load()


def test_environment_cannot_spoil_the_joints() -> None:
    """Variables that make the 2.x library write progressive or optimized files change nothing here."""
    script = (
        "import sys, numpy as np; from sidecar_turbojpeg.library import load, Options;"
        "sys.stdout.buffer.write(load()(np.arange(768, dtype=np.uint8).reshape(16, 16, 3), Options(80, 0, 2)))"
    )
    spoilt = {**os.environ, "TJ_PROGRESSIVE": "1", "TJ_OPTIMIZE": "1", "TJ_ARITHMETIC": "1", "TJ_RESTART": "7B"}
    made = subprocess.run([sys.executable, "-c", script], env=spoilt, capture_output=True, check=True).stdout
    assert made == LIBRARIES[0](np.arange(768, dtype=np.uint8).reshape(16, 16, 3), Options(80, 0, 2))


def test_registered() -> None:
    """The plugin registers one encoder, told by the table `jpeg`, that says in `settings` what decides its bytes."""
    config = Config.of(JpegSettings(quality=55, subsampling="4:2:2"))
    factory = Plugins([sidecar_turbojpeg], installed=False).load(config, run_inline).encoders["jpg"]
    assert factory.media_type == "image/jpeg"
    assert factory.settings == f"quality=55 subsampling=4:2:2 turbojpeg={LIBRARIES[0].major}"
