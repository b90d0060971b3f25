"""What every encoder must hold: subclass EncoderContract in a test file, give it a factory, and run pytest.

class TestJpeg(EncoderContract):
    factory = JpegFactory(JpegSettings(), load())
    largest_side = 65500
    tolerance = 8
"""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sidecar.errors import EncodeError
from sidecar.interfaces import EncoderFactory
from sidecar.model import Frame, Pixels, Size

_MODES = {1: {"1", "L"}, 2: {"LA"}, 3: {"RGB"}, 4: {"RGBA"}}

_laws = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    # One suite, many subclasses: that is its purpose.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class EncoderContract:
    """The laws of `sidecar.interfaces.EncoderFactory`, tried with pictures from one pixel to several strips.

    Decoding is left to Pillow; a format it does not read needs `decode` and `profile` overridden.
    """

    factory: ClassVar[EncoderFactory]
    largest_side: ClassVar[int]
    """The largest width or height the format (or its usual decoders) can hold."""
    tolerance: ClassVar[int] = 0
    """The largest difference of a sample, in grey levels, after a smooth picture was encoded; 0: lossless."""
    keeps_icc: ClassVar[bool] = True
    """Whether the format has a place for ICC profiles."""

    def decode(self, file: bytes) -> Pixels:
        """A file's pixels, (rows, columns, channels)."""
        with Image.open(io.BytesIO(file)) as image:
            image.load()
            grey = image.convert("L") if image.mode == "1" else image
            pixels = np.asarray(grey)
            assert image.mode in _MODES[1 if pixels.ndim == 2 else pixels.shape[2]]  # noqa: PLR2004  # rows, columns
        return pixels.reshape(*pixels.shape[:2], -1)

    def profile(self, file: bytes) -> bytes | None:
        """A file's ICC profile."""
        with Image.open(io.BytesIO(file)) as image:
            found: bytes | None = image.info.get("icc_profile")
        return found

    def channels(self) -> Sequence[int]:
        """What a frame may have."""
        return (1, 2, 3, 4) if self.factory.alpha else (1, 3)

    @given(data=st.data())
    @_laws
    def test_pixels_come_back(self, data: st.DataObject) -> None:
        """A file made of strips of `rows(frame)` decodes to the size, the channels and the pixels that went in."""
        frame = data.draw(self._frames())
        picture = self._picture(frame, data.draw(st.integers(0, 9)))
        self._same(self.decode(encode(self.factory, frame, picture)), picture)

    @given(width=st.integers(1, 20), height=st.integers(1, 20), data=st.data())
    @_laws
    def test_tiny_pictures(self, width: int, height: int, data: st.DataObject) -> None:
        """So it is for pictures of a few pixels, which no block or byte boundary fits."""
        frame = Frame(Size(width, height), data.draw(st.sampled_from(self.channels())))
        picture = self._picture(frame, 0)
        self._same(self.decode(encode(self.factory, frame, picture)), picture)

    @pytest.mark.parametrize("width", [1, 7, 8, 9, 64, 1000])
    def test_black_and_white(self, width: int) -> None:
        """A bitonal frame of one channel comes back as it was."""
        frame = Frame(Size(width, 48), 1, bitonal=True)
        picture = np.zeros((48, width, 1), np.uint8)
        picture[16:32] = 255
        if not self.tolerance:
            picture[::3, ::2] = 255
        self._same(self.decode(encode(self.factory, frame, picture)), picture)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("padding", [0, 65_000, 200_000])
    def test_profile_is_kept(self, channels: int, padding: int) -> None:
        """The ICC profile is in the file, byte for byte, however long; without one there is none."""
        if not self.keeps_icc:
            pytest.skip("the format has no place for ICC profiles")
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        profile += np.random.default_rng(padding).bytes(padding)
        plain, described = (Frame(Size(33, 17), channels, icc) for icc in (None, profile))
        picture = self._picture(plain, 0)
        assert self.profile(encode(self.factory, described, picture)) == profile
        assert self.profile(encode(self.factory, plain, picture)) is None

    def test_pictures_at_once(self) -> None:
        """Encoders of different pictures, one to a thread and in step, make the bytes they make alone."""
        frames = [Frame(self._several_strips(width, channels), channels) for width in (500, 333) for channels in (1, 3)]
        pictures = [self._picture(frame, seed) for seed, frame in enumerate(frames)]
        alone = [encode(self.factory, *job) for job in zip(frames, pictures, strict=True)]
        barrier = Barrier(len(frames))

        def in_step(frame: Frame, picture: Pixels) -> bytes:
            barrier.wait()
            return encode(self.factory, frame, picture)

        with ThreadPoolExecutor(len(frames)) as pool:
            assert [*pool.map(in_step, frames, pictures)] == alone

    def test_strips_alternate(self) -> None:
        """Two encoders fed by turns in one thread make the bytes they make alone: they share nothing."""
        frames = [Frame(self._several_strips(300, 3), 3), Frame(self._several_strips(401, 1), 1)]
        pictures = [self._picture(frame, seed) for seed, frame in enumerate(frames)]
        encoders = [self.factory.start(frame) for frame in frames]
        files = [b"", b""]
        jobs = [strips(self.factory, *job) for job in zip(frames, pictures, strict=True)]
        for pair in zip(*jobs, strict=True):
            files = [file + encoder.write(strip) for file, encoder, strip in zip(files, encoders, pair, strict=True)]
        files = [file + encoder.finish() for file, encoder in zip(files, encoders, strict=True)]
        assert files == [encode(self.factory, *job) for job in zip(frames, pictures, strict=True)]

    def test_strips_are_only_read(self) -> None:
        """A strip may be read-only, and its memory is free for the next one as soon as `write` is back."""
        frame = Frame(self._several_strips(200, 3), 3)
        picture = self._picture(frame, 1)
        encoder = self.factory.start(frame)
        buffer = np.empty((self.factory.rows(frame), 200, 3), np.uint8)
        made = b""
        for strip in strips(self.factory, frame, picture):
            held = buffer[: len(strip)]
            held[:] = strip
            held.flags.writeable = False
            made += encoder.write(held)
            buffer[:] = 77
        assert made + encoder.finish() == encode(self.factory, frame, picture)

    @pytest.mark.parametrize("side", ["width", "height"])
    def test_too_large(self, side: str) -> None:
        """A side that the format cannot hold is refused before any pixel, and the largest one is not."""
        largest, beyond = ({"width": 1, "height": 1, side: self.largest_side + more} for more in (0, 1))
        with pytest.raises(EncodeError):
            self.factory.start(Frame(Size(**beyond), 1))
        self.factory.start(Frame(Size(**largest), 1))

    def test_channels(self) -> None:
        """A frame with alpha is refused where the factory says it keeps none; so is one of five channels."""
        refused = {1, 2, 3, 4, 5} - {*self.channels()}
        for channels in refused:
            with pytest.raises(EncodeError):
                self.factory.start(Frame(Size(10, 10), channels))

    @pytest.mark.parametrize("shape", [(10, 11, 3), (10, 10, 1), (11, 10, 3)])
    def test_strips_that_do_not_fit(self, shape: tuple[int, int, int]) -> None:
        """A strip of another width or other channels, or with rows too many, is refused."""
        encoder = self.factory.start(Frame(Size(10, 10), 3))
        with pytest.raises(EncodeError):
            encoder.write(np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("written", [0, 1])
    def test_rows_missing(self, written: int) -> None:
        """A picture whose rows did not all come is never ended as if it were whole."""
        frame = Frame(self._several_strips(300, 3), 3)
        encoder = self.factory.start(frame)
        for strip, _ in zip(strips(self.factory, frame, self._picture(frame, 0)), range(written), strict=False):
            encoder.write(strip)
        with pytest.raises(EncodeError):
            encoder.finish()

    def test_memory(self) -> None:
        """Writing a strip of noise takes no more memory than the factory says, as far as Python's allocator sees it."""
        channels = self.channels()[-1]
        rows = self.factory.rows(Frame(Size(3000, 10_000), channels))
        encoder = self.factory.start(Frame(Size(3000, 2 * rows), channels))
        strip = np.random.default_rng(0).integers(0, 256, (rows, 3000, channels), np.uint8)
        encoder.write(strip)  # the first time loads what is loaded once
        tracemalloc.start()
        encoder.write(strip)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= self.factory.overhead * strip.nbytes + (1 << 16)

    def test_what_it_says_of_itself(self) -> None:
        """Format, media type and settings are plain text that may stand in a URL, a header and an ETag's source."""
        assert self.factory.format.isalnum()
        assert self.factory.format == self.factory.format.lower()
        assert self.factory.media_type.startswith("image/")
        assert self.factory.settings.isascii()
        assert self.factory.settings.isprintable()

    def _frames(self) -> st.SearchStrategy[Frame]:
        """Frames of up to two strips and a bit, most of them odd."""

        @st.composite
        def frames(draw: st.DrawFn) -> Frame:
            width, channels = draw(st.integers(1, 700)), draw(st.sampled_from(self.channels()))
            rows = self.factory.rows(Frame(Size(width, 1), channels))
            height = draw(st.integers(0, 2)) * rows + draw(st.integers(1, rows))
            return Frame(Size(width, min(height, 10_000, self.largest_side)), channels)

        return frames()

    def _several_strips(self, width: int, channels: int) -> Size:
        rows = self.factory.rows(Frame(Size(width, 1), channels))
        return Size(width, min(2 * rows + rows // 2 + 1, self.largest_side))

    def _picture(self, frame: Frame, seed: int) -> Pixels:
        """Noise for lossless formats; else waves of at most about two grey levels from pixel to pixel."""
        shape = (frame.size.height, frame.size.width, frame.channels)
        if not self.tolerance:
            return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        y, x, channel = np.ogrid[: shape[0], : shape[1], : shape[2]]
        waves = 128 + 70 * np.sin(x / 50 + seed) + 50 * np.cos(y / 60 + channel / 3)
        return np.asarray(waves.astype(np.uint8))

    def _same(self, found: Pixels, wanted: Pixels) -> None:
        assert found.shape == wanted.shape
        difference = np.abs(found.astype(np.int16) - wanted.astype(np.int16))
        assert int(difference.max()) <= self.tolerance


def strips(factory: EncoderFactory, frame: Frame, picture: Pixels) -> Iterator[Pixels]:
    """The picture cut as the core cuts it: `rows(frame)` rows each, fewer only at the end."""
    rows = factory.rows(frame)
    assert rows > 0
    for start in range(0, frame.size.height, rows):
        yield picture[start : start + rows]


def encode(factory: EncoderFactory, frame: Frame, picture: Pixels) -> bytes:
    """The whole file."""
    encoder = factory.start(frame)
    written = [encoder.write(strip) for strip in strips(factory, frame, picture)]
    return b"".join((*written, encoder.finish()))
