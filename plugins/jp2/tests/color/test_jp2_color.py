"""Colours: equal to Cantaloupe's and to opj_decompress's, or handed over."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from sidecar_jp2.color.convert import eight_bits
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import box, cdef, cmap, colr, compress, ihdr, jp2, pclr, picture, planes, profile, read

from sidecar.plugin import DecodeError, Pixels, Rect, Unsupported
from sidecar.testing.fakes import MemoryBlob, on_disk

DECODER = Jp2Decoder(OpenJpeg(bind()))
DATA = Path(__file__).parents[4] / "tests" / "data"
SIZE = (61, 43)
ONE = ((1, 1),)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CHROMA = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


def shown(content: bytes) -> Pixels:
    """Return the pixels of a file in memory."""
    blob = MemoryBlob("a.jp2", content)
    return read(DECODER.open(blob), blob)


def grey(samples: NDArray[np.uint16], depth: int, *, signed: bool = False) -> Pixels:
    """Return the pixels of one losslessly coded plane."""
    stream = compress([samples], (samples.shape[1], samples.shape[0]), ONE, depth=depth, signed=signed)
    return shown(jp2(stream, ihdr(1), colr(17)))[..., 0]


def with_header(content: Sequence[bytes], components: int) -> bytes:
    """Return a JP2 file with some header boxes and a small image."""
    return jp2(picture(SIZE, "-mct", "0", steps=ONE * components), ihdr(components), *content)


@pytest.mark.parametrize("name", ["gray8", "gray16", "rgb12", "rgba", "icc", "palette"])
def test_as_cantaloupe_shows_it(name: str) -> None:
    """A crop at full size has exactly the colours of Cantaloupe's PNG, which lacks alpha."""
    path = f"/iiif/3/{name}.jp2/10,10,50,40/max/0/default.png"
    recorded = json.loads((DATA / "cantaloupe" / "requests.json").read_text(encoding="utf-8"))
    (body,) = (each["body_file"] for each in recorded if each["path"] == path and each["method"] == "GET")
    with Image.open(DATA / "cantaloupe" / "bodies" / body) as image:
        expected = np.atleast_3d(np.asarray(image))
    blob = on_disk(DATA / "images" / f"{name}.jp2")
    pixels = read(DECODER.open(blob), blob, 0, Rect(10, 10, 50, 40))
    np.testing.assert_array_equal(pixels[..., : expected.shape[2]], expected)


@pytest.mark.parametrize("depth", [2, 4, 8, 10, 12, 16])
def test_depths_become_eight_bits(depth: int) -> None:
    """Deep samples are rounded to 8 bits, and shallow ones are spread so that the brightest is white."""
    (samples,) = planes(SIZE, ONE, depth)
    most = (1 << depth) - 1
    # The exact value, rounded half up: (v + half a step) / step for deep ones, v * 255 / most for shallow ones.
    exact = samples / 2 ** (depth - 8) if depth >= 8 else samples * 255.0 / most
    expected = np.minimum(np.floor(exact + 0.5), 255).astype(np.uint8)
    np.testing.assert_array_equal(grey(samples, depth), expected)
    assert grey(np.full_like(samples, most), depth).min() == 255


def test_one_bit_is_black_and_white() -> None:
    """The two values of one bit become 0 and 255."""
    assert eight_bits(np.array([0, 1], np.int32), 1).tolist() == [0, 255]


@pytest.mark.parametrize("depth", [8, 12])
def test_signed_samples_are_lifted(depth: int) -> None:
    """The lowest value of a signed component becomes black, the highest white, and 0 the middle."""
    (samples,) = planes(SIZE, ONE, depth)
    half = 1 << (depth - 1)
    stored = (samples.astype(np.int32) - half) & ((1 << 16 if depth > 8 else 1 << 8) - 1)
    np.testing.assert_array_equal(grey(stored.astype(np.uint16), depth, signed=True), grey(samples, depth))


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("chroma", CHROMA)
@pytest.mark.parametrize("offset", ["0,0", "36,20"])
def test_ycc_equals_opj_decompress(chroma: str, depth: int, offset: str, tmp_path: Path) -> None:
    """An sYCC image with each subsampling becomes the RGB of opj_decompress, bit for bit."""
    steps = ((1, 1), CHROMA[chroma], CHROMA[chroma])
    content = jp2(picture(SIZE, "-mct", "0", "-d", offset, steps=steps, depth=depth), ihdr(3, SIZE, depth), colr(18))
    source, made = tmp_path / "a.jp2", tmp_path / "a.bmp"
    source.write_bytes(content)
    subprocess.run(["opj_decompress", "-i", source, "-o", made], check=True, capture_output=True)
    with Image.open(made) as image:
        np.testing.assert_array_equal(shown(content), np.asarray(image))


def test_overshooting_values_are_clipped() -> None:
    """Black and white coded so coarsely that the wavelet overshoots do not wrap around."""
    squares = np.kron(np.random.default_rng(0).integers(0, 2, (32, 32)), np.full((8, 8), 255)).astype(np.uint16)
    pixels = shown(jp2(compress([squares], (256, 256), ONE, "-I", "-r", "10"), ihdr(1), colr(17)))[..., 0]
    assert not np.array_equal(pixels, squares)
    assert np.abs(pixels.astype(int) - squares).max() < 128


def test_cmyk_without_profile() -> None:
    """CMYK without a profile is converted by the rule of opj_decompress: 255 (1 - C) (1 - K)."""
    inks = np.stack(planes(SIZE, ONE * 4), -1) / 255
    pixels = shown(with_header([colr(12)], 4))
    np.testing.assert_allclose(pixels, 255 * (1 - inks[..., :3]) * (1 - inks[..., 3:]), atol=1.001)
    assert pixels.shape == (43, 61, 3)


def test_palette_and_channel_order() -> None:
    """Palette columns become channels by cmap, in the order that cdef defines."""
    entries = [(index, 255 - index, index // 2) for index in range(256)]
    header = [pclr(entries, (8, 8, 8)), cmap((0, 1, 0), (0, 1, 1), (0, 1, 2)), cdef((0, 0, 3), (1, 0, 2), (2, 0, 1))]
    (indices,) = planes(SIZE, ONE)
    expected = np.stack([indices // 2, 255 - indices, indices], -1)
    np.testing.assert_array_equal(shown(with_header([colr(16), *header], 1)), expected)


def test_a_palette_without_a_colour_specification() -> None:
    """Without a colour specification, three palette columns are red, green and blue."""
    entries = [(index, index, index) for index in range(256)]
    header = [pclr(entries, (8, 8, 8)), cmap((0, 1, 0), (0, 1, 1), (0, 1, 2))]
    (indices,) = planes(SIZE, ONE)
    np.testing.assert_array_equal(shown(with_header(header, 1)), np.stack([indices] * 3, -1))


@pytest.mark.parametrize("keep", [True, False])
def test_opacity(keep: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """An opacity channel comes last wherever it lies in the file, or is left out if the setting is `drop`."""
    decoder = Jp2Decoder(DECODER._opj, alpha=keep)
    blob = MemoryBlob("a.jp2", with_header([colr(17), cdef((0, 1, 0), (1, 0, 1))], 2))
    opacity, value = planes(SIZE, ONE * 2)
    reader = decoder.open(blob)
    assert reader.info.channels == 1 + keep
    np.testing.assert_array_equal(read(reader, blob), np.stack([value, opacity], -1)[..., : 1 + keep])


@pytest.mark.parametrize("optional", [True, False])
def test_optional_opacity(optional: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """With the setting `auto` the pixels have their opacity, and the image says that it may be left out."""
    decoder = Jp2Decoder(DECODER._opj, alpha_is_optional=optional)
    blob = MemoryBlob("a.jp2", with_header([colr(17), cdef((0, 1, 0), (1, 0, 1))], 2))
    info = decoder.open(blob).info
    assert (info.channels, info.alpha_is_optional) == (2, optional)


def test_profiles_are_passed_on() -> None:
    """An ICC profile for RGB is passed on, and the pixels are unchanged."""
    blob = MemoryBlob("a.jp2", with_header([profile(SRGB)], 3))
    reader = DECODER.open(blob)
    assert reader.info.icc == SRGB
    np.testing.assert_array_equal(read(reader, blob), np.stack(planes(SIZE, ONE * 3), -1))


def test_a_useless_cmyk_profile() -> None:
    """A CMYK profile that the colour engine refuses raises DecodeError when pixels are read."""
    broken = (200).to_bytes(4) + SRGB[4:16] + b"CMYK" + SRGB[20:200]
    with pytest.raises(DecodeError, match="ICC"):
        shown(with_header([profile(broken)], 4))


UNSURE = {
    "5 colour channels": ([], 5),
    "4 colour channels for rgb": ([colr(16)], 4),
    "enumerated colour space 14": ([colr(14)], 3),
    "ICC profile for b'Lab '": ([profile(SRGB[:16] + b"Lab " + SRGB[20:])], 3),
    "opacity": ([colr(16), cdef((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 2, 0))], 4),
    "colours that are not there": ([colr(16), cdef((0, 0, 1), (1, 0, 1), (2, 0, 2))], 3),
}


@pytest.mark.parametrize("text", UNSURE)
def test_ambiguous_colours_are_handed_over(text: str) -> None:
    """Well-formed files with ambiguous or unknown colours raise Unsupported when they are opened."""
    header, components = UNSURE[text]
    with pytest.raises(Unsupported, match=text):
        shown(with_header(header, components))


@pytest.mark.parametrize("header", [[cdef((7, 0, 1))], [pclr([(1,)], (8,)), cmap((3, 1, 0))]])
def test_contradictions_are_handed_over(header: list[bytes]) -> None:
    """Boxes that refer to components missing from the codestream raise Broken."""
    with pytest.raises(Broken, match="beyond"):
        shown(with_header([colr(17), *header], 1))


def test_subsampled_rgb_is_handed_over() -> None:
    """Red, green and blue of different sizes raise Unsupported, because decoders disagree about them."""
    content = jp2(picture(SIZE, "-mct", "0", steps=((1, 1), (2, 2), (2, 2))), ihdr(), colr(16))
    with pytest.raises(Unsupported, match="different sizes"):
        shown(content)


@pytest.mark.parametrize(
    "icc",
    [SRGB[:-100], SRGB[:100], b"", (64).to_bytes(4) + SRGB[4:], SRGB[:36] + b"xxxx" + SRGB[40:]],
    ids=["cut short", "no header", "empty", "a length of less than its header", "another signature"],
)
def test_profiles_that_contradict_themselves_are_left_out(icc: bytes) -> None:
    """A profile that is not as long as it says, or none at all, is left out; the pixels are right."""
    blob = MemoryBlob("a.jp2", with_header([profile(icc)], 3))
    reader = DECODER.open(blob)
    assert reader.info.icc is None
    np.testing.assert_array_equal(read(reader, blob), np.stack(planes(SIZE, ONE * 3), -1))


def test_bytes_after_a_profile_are_left_out() -> None:
    """Padding after the end of a profile is not passed on."""
    assert DECODER.open(MemoryBlob("a.jp2", with_header([profile(SRGB + bytes(9))], 3))).info.icc == SRGB


def upsampled(content: bytes, folder: Path) -> Pixels:
    """Return the pixels of opj_decompress, each component as large as the image."""
    source, made = folder / "a.jp2", folder / "a.bmp"
    source.write_bytes(content)
    subprocess.run(["opj_decompress", "-i", source, "-o", made, "-upsample"], check=True, capture_output=True)
    with Image.open(made) as image:
        return np.atleast_3d(np.asarray(image))


@pytest.mark.parametrize("step", [(2, 2), (2, 1), (1, 3)])
@pytest.mark.parametrize("count", [1, 3])
def test_components_that_are_all_subsampled(step: tuple[int, int], count: int, tmp_path: Path) -> None:
    """If all components have a sample for several pixels, each pixel takes the one at or before it."""
    content = jp2(picture(SIZE, "-mct", "0", steps=(step,) * count), ihdr(count, SIZE), colr(17 if count == 1 else 16))
    np.testing.assert_array_equal(shown(content), upsampled(content, tmp_path))


def test_pixels_before_the_first_sample_are_handed_over() -> None:
    """opj_decompress leaves pixels at 0 that come before the first sample of a component."""
    content = jp2(picture(SIZE, "-d", "1,0", steps=((2, 2),)), ihdr(1, SIZE), colr(17))
    with pytest.raises(Unsupported, match="no samples"):
        shown(content)


@pytest.mark.parametrize("step", [(4, 1), (1, 2), (3, 2)])
def test_unusual_chroma_is_handed_over(step: tuple[int, int]) -> None:
    """Chroma that opj_decompress does not convert raises Unsupported."""
    content = jp2(picture(SIZE, "-mct", "0", steps=((1, 1), step, step)), ihdr(3, SIZE), colr(18))
    with pytest.raises(Unsupported, match="unusual"):
        shown(content)


def test_of_two_unexplained_channels_the_first_is_grey(tmp_path: Path) -> None:
    """Without cdef, two components are a grey image, and the second one is not shown: as opj_decompress's BMP."""
    content = with_header([box(b"colr", b"\4\0\0" + bytes(16))], 2).replace(ihdr(2), ihdr(2, SIZE))
    np.testing.assert_array_equal(shown(content), upsampled(content, tmp_path))


def test_a_column_without_a_channel_is_repaired(tmp_path: Path) -> None:
    """If cmap leaves out columns of the palette, each column makes a channel in turn: as in OpenJPEG."""
    entries = [(index, 255 - index, index // 2) for index in range(256)]
    header = [ihdr(1, SIZE), colr(16), pclr(entries, (8, 8, 8)), cmap((0, 1, 0), (0, 0, 0), (0, 0, 0))]
    content = jp2(picture(SIZE, steps=ONE), *header)
    np.testing.assert_array_equal(shown(content), upsampled(content, tmp_path))
