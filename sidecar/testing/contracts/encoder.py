"""What every encoder must hold: subclass EncoderContract in a test file, give it a factory, and run pytest.

class TestJpeg(EncoderContract):
    factory = JpegFactory(JpegSettings(), load())
    largest_side = 65500
    tolerance = 8
"""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ImageCms

from sidecar.plugin import EncodeError, Frame, HidesErrors, Pixels, Size
from sidecar.testing.contracts.encoder_case import encode, strips
from sidecar.testing.contracts.encoder_memory import EncoderMemory

__all__ = ["EncoderContract", "encode", "strips"]

_laws = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    # One suite, many subclasses: that is its purpose.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class EncoderContract(EncoderMemory):
    """The laws of `sidecar.plugin.EncoderFactory`, tried with pictures from one pixel to megapixels."""

    @given(data=st.data())
    @_laws
    def test_pixels_come_back(self, data: st.DataObject) -> None:
        """A file made of strips of `rows(frame)` decodes to the size, the channels and the pixels that went in."""
        frame = data.draw(self._frames())
        picture = self.picture(frame, data.draw(st.integers(0, 9)))
        self.assert_same(self.decode(encode(self.factory, frame, picture)), picture)

    @given(width=st.integers(1, 20), height=st.integers(1, 20), data=st.data())
    @_laws
    def test_tiny_pictures(self, width: int, height: int, data: st.DataObject) -> None:
        """So it is for pictures of a few pixels, which no block or byte boundary fits."""
        frame = Frame(size=Size(width, height), channels=data.draw(st.sampled_from(self.channels())))
        picture = self.picture(frame, 0)
        self.assert_same(self.decode(encode(self.factory, frame, picture)), picture)

    @pytest.mark.parametrize("width", [1, 7, 8, 9, 64, 1000])
    def test_black_and_white(self, width: int) -> None:
        """A bitonal frame of one channel comes back as it was."""
        frame = Frame(size=Size(width, 48), channels=1, bitonal=True)
        picture = np.zeros((48, width, 1), np.uint8)
        picture[16:32] = 255
        if not self.tolerance:
            picture[::3, ::2] = 255
        self.assert_same(self.decode(encode(self.factory, frame, picture)), picture)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("padding", [0, 65_000, 200_000])
    def test_profile_is_kept(self, channels: int, padding: int) -> None:
        """The ICC profile is in the file, byte for byte, however long; without one there is none."""
        if not self.keeps_icc:
            pytest.skip("the format has no place for ICC profiles")
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        profile += np.random.default_rng(padding).bytes(padding)
        plain, described = (Frame(size=Size(33, 17), channels=channels, icc=icc) for icc in (None, profile))
        picture = self.picture(plain, 0)
        assert self.profile(encode(self.factory, described, picture)) == profile
        assert self.profile(encode(self.factory, plain, picture)) is None

    def test_pictures_at_once(self) -> None:
        """Encoders of different pictures, one to a thread and in step, make the bytes they make alone."""
        frames = [self.several_strips(width, channels) for width in (500, 333) for channels in (1, 3)]
        pictures = [self.picture(frame, seed) for seed, frame in enumerate(frames)]
        alone = [encode(self.factory, *job) for job in zip(frames, pictures, strict=True)]
        barrier = Barrier(len(frames))

        def in_step(frame: Frame, picture: Pixels) -> bytes:
            barrier.wait()
            return encode(self.factory, frame, picture)

        with ThreadPoolExecutor(len(frames)) as pool:
            assert [*pool.map(in_step, frames, pictures)] == alone

    def test_strips_alternate(self) -> None:
        """Two encoders fed by turns in one thread make the bytes they make alone: they share nothing."""
        frames = [self.several_strips(300, 3), self.several_strips(401, 1)]
        pictures = [self.picture(frame, seed) for seed, frame in enumerate(frames)]
        encoders = [self.factory.start(frame) for frame in frames]
        files = [b"", b""]
        jobs = [strips(self.factory, *job) for job in zip(frames, pictures, strict=True)]
        for pair in zip(*jobs, strict=True):
            files = [file + encoder.write(strip) for file, encoder, strip in zip(files, encoders, pair, strict=True)]
        files = [file + encoder.finish() for file, encoder in zip(files, encoders, strict=True)]
        assert files == [encode(self.factory, *job) for job in zip(frames, pictures, strict=True)]

    def test_strips_are_only_read(self) -> None:
        """A strip may be read-only, and its memory is free for the next one as soon as `write` returns."""
        frame = self.several_strips(200, 3)
        picture = self.picture(frame, 1)
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
        """A side that the format cannot hold is refused at the start, and the largest one is not."""
        largest, beyond = ({"width": 1, "height": 1, side: self.largest_side + more} for more in (0, 1))
        with pytest.raises(EncodeError):
            self.factory.start(Frame(size=Size(**beyond), channels=1))
        self.factory.start(Frame(size=Size(**largest), channels=1))

    def test_channels(self) -> None:
        """A frame with alpha is refused if the factory says that it keeps none; so is one of five channels."""
        refused = {1, 2, 3, 4, 5} - {*self.channels()}
        for channels in refused:
            with pytest.raises(EncodeError):
                self.factory.start(Frame(size=Size(10, 10), channels=channels))

    @pytest.mark.parametrize("shape", [(10, 11, 3), (10, 10, 1), (11, 10, 3)])
    def test_strips_that_do_not_fit(self, shape: tuple[int, int, int]) -> None:
        """A strip of another width or other channels, or with rows too many, is refused."""
        encoder = self.factory.start(Frame(size=Size(10, 10), channels=3))
        with pytest.raises(EncodeError):
            encoder.write(np.zeros(shape, np.uint8))

    @pytest.mark.parametrize("written", [0, 1])
    def test_rows_missing(self, written: int) -> None:
        """A picture whose rows did not all come is never ended as if it were whole: none, or the first strip only."""
        frame = self.several_strips(300, 3)
        encoder = self.factory.start(frame)
        for strip, _ in zip(strips(self.factory, frame, self.picture(frame, 0)), range(written), strict=False):
            if len(strip) < frame.size.height:
                encoder.write(strip)
        with pytest.raises(EncodeError):
            encoder.finish()

    def test_last_row_missing(self) -> None:
        """A last strip that ends a row early is refused, by `finish` at the latest."""
        frame = self.several_strips(300, 3)
        encoder = self.factory.start(frame)
        with pytest.raises(EncodeError):  # noqa: PT012  # either call may raise
            for strip in strips(self.factory, frame, self.picture(frame, 0)[:-1]):
                encoder.write(strip)
            encoder.finish()

    def test_memory_and_tolerance(self) -> None:
        """The memory of a picture is some whole number of bytes; only lossy formats hide errors."""
        for channels in self.channels():
            frame = self.several_strips(300, channels)
            memory = self.factory.memory(frame)
            assert isinstance(memory, int)
            assert memory > 0
        if isinstance(self.factory, HidesErrors):
            hidden = self.factory.tolerance
            assert 1 <= hidden.quality <= 100  # noqa: PLR2004
            assert self.tolerance or hidden.exact

    def test_names(self) -> None:
        """Format, media type and settings are plain text that may stand in a URL, a header and an ETag's source."""
        assert self.factory.format.isalnum()
        assert self.factory.format == self.factory.format.lower()
        assert self.factory.media_type.startswith("image/")
        assert self.factory.settings.isascii()
        assert self.factory.settings.isprintable()

    def _frames(self) -> st.SearchStrategy[Frame]:
        """Return frames of up to two strips and a bit, most of them odd."""

        @st.composite
        def frames(draw: st.DrawFn) -> Frame:
            width, channels = draw(st.integers(1, 700)), draw(st.sampled_from(self.channels()))
            rows = self.usual_rows(width, channels)
            height = draw(st.integers(0, 2)) * rows + draw(st.integers(1, rows))
            return Frame(size=Size(width, min(height, 10_000, self.largest_side)), channels=channels)

        return frames()
