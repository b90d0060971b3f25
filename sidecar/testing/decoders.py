"""What every decoder must hold: subclass DecoderContract in a test file, give it images, and run pytest.

    class TestPages(DecoderContract):
        decoder = PageDecoder(direct)
        samples: ClassVar = {"small": lambda folder: on_disk(IMAGES / "small.page")}
        nasties: ClassVar = {"cut": lambda folder: MemoryBlob("cut.page", SMALL[:1000])}

Samples should be small, a megapixel or so: each is decoded many times over.
"""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise, product
from pathlib import Path
from threading import Barrier
from typing import ClassVar, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import DecodeError, Malformed, SourceChanged, Unsupported
from sidecar.interfaces import Blob, Decoder, ImageReader
from sidecar.model import Level, Pixels, Rect
from sidecar.testing.descriptors import all_come_back
from sidecar.testing.fakes import LostBlob, MemoryBlob
from sidecar.testing.reading import pixels_of

Make: TypeAlias = Callable[[Path], Blob]
"""Makes a blob; the folder is for files of its own, the same for all tests of a class."""

_laws = settings(max_examples=15, deadline=None, database=None, derandomize=True)
_THREADS = 3


class DecoderContract:
    """The laws of `sidecar.interfaces.Decoder` and `ImageReader`."""

    decoder: ClassVar[Decoder]
    samples: ClassVar[Mapping[str, Make]]
    """Images of every kind it reads, by a name for people."""
    nasties: ClassVar[Mapping[str, Make]]
    """Files it must turn down, when they are opened or at the latest when they are read."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each sample or nasty."""
        for fixture, table in (("sample", "samples"), ("nasty", "nasties")):
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, sorted(getattr(self, table)))

    @pytest.fixture
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Where samples are made, once for the class."""
        path = tmp_path_factory.getbasetemp() / f"decoder-{type(self).__qualname__}"
        path.mkdir(exist_ok=True)
        return path

    @pytest.fixture
    def blob(self, folder: Path, sample: str) -> Blob:
        """A sample."""
        return self.samples[sample](folder)

    @pytest.fixture
    def reader(self, blob: Blob) -> Iterator[ImageReader]:
        """A sample, opened."""
        with closing(self.decoder.open(blob)) as reader:
            yield reader

    def test_what_it_says_of_itself(self) -> None:
        """Suffixes are such as the core looks them up by."""
        assert self.decoder.name
        assert self.decoder.suffixes
        for suffix in self.decoder.suffixes:
            assert suffix == suffix.lower()
            assert not {*"./"} & {*suffix}

    def test_info(self, reader: ImageReader) -> None:
        """Levels go from the full size down, and each is as large as its downsample says, give or take a pixel."""
        info = reader.info
        assert info.channels in {1, 2, 3, 4}
        assert info.levels[0].size == info.size
        assert info.levels[0].downsample == 1.0
        for finer, coarser in pairwise(info.levels):
            assert finer.downsample < coarser.downsample
            assert finer.size.area >= coarser.size.area
        for level in info.levels:
            # A slide's downsample is the mean of both directions'; its levels are rounded as its scanner pleased.
            for side, full in zip(_sides(level), _sides(info.levels[0]), strict=True):
                assert abs(side - full / level.downsample) <= 1 + 0.01 * side
            assert level.fixed_bytes >= 0
            assert level.pixel_bytes >= 0
        assert info.icc is None or info.icc[36:40] == b"acsp", "not an ICC profile (ICC.1:2022 7.2)"

    def test_windows_are_values(self, reader: ImageReader, blob: Blob) -> None:
        """A window says again what was asked, its ranges lie in the blob, and asking again gives an equal one."""
        for index, level in enumerate(reader.info.levels):
            region = Rect(level.size.width // 3, level.size.height // 2, 1, 1)
            window = reader.window(index, region)
            assert (window.level, window.region) == (index, region)
            assert all(0 <= start < stop <= blob.size for start, stop in window.ranges)
            assert reader.window(index, region) == window

    def test_corners(self, reader: ImageReader, blob: Blob) -> None:
        """Single pixels in the corners of every level are those of the whole level."""
        for index, level in enumerate(reader.info.levels):
            whole = read(reader, blob, index, _all_of(level))
            for x, y in product({0, level.size.width - 1}, {0, level.size.height - 1}):
                corner = read(reader, blob, index, Rect(x, y, 1, 1))
                assert np.array_equal(corner[0, 0], whole[y, x]), (index, x, y)

    def test_any_partition_makes_the_whole(self, reader: ImageReader, blob: Blob) -> None:
        """However a level is cut into windows, joined they are what reading it whole gives."""
        for index, level in enumerate(reader.info.levels):
            whole = read(reader, blob, index, _all_of(level))
            self._try_partitions(reader, blob, index, whole)

    def _try_partitions(self, reader: ImageReader, blob: Blob, level: int, whole: Pixels) -> None:
        @given(rows=_cuts(whole.shape[0]), columns=_cuts(whole.shape[1]))
        @_laws
        def law(rows: Sequence[int], columns: Sequence[int]) -> None:
            joined = [
                np.hstack([read(reader, blob, level, _between(span, rows_span)) for span in pairwise(columns)])
                for rows_span in pairwise(rows)
            ]
            assert np.array_equal(np.vstack(joined), whole)

        law()

    def test_it_writes_all_it_is_given_and_nothing_else(self, reader: ImageReader, blob: Blob) -> None:
        """A window fills its part of a larger array, whatever was in it, and leaves the rest as it was."""
        for index, region in _quarters(reader):
            window = reader.window(index, region)
            data = blob.read(window.ranges) if window.ranges else []
            wanted = pixels_of(reader, window, data)
            for before in (0, 255):
                around = np.full((region.height + 3, region.width + 5, reader.info.channels), before, np.uint8)
                part = around[1:-2, 3:-2]
                reader.read(window, data, part)
                assert np.array_equal(part, wanted), (index, region)
                part[:] = before
                assert (around == before).all(), (index, region)

    def test_order_does_not_matter(self, reader: ImageReader, blob: Blob) -> None:
        """Windows read forwards and backwards, across levels, have the same pixels: reads leave nothing behind."""
        windows = [(index, region) for index, region in _quarters(reader)]
        forwards = [read(reader, blob, *window) for window in windows]
        backwards = [read(reader, blob, *window) for window in reversed(windows)]
        assert _same(forwards, backwards[::-1])

    def test_readers_in_threads(self, reader: ImageReader, blob: Blob) -> None:
        """Several readers of one image, each in a thread and all in step, read what one reads alone."""
        alone = [read(reader, blob, *window) for window in _quarters(reader)]
        readers = [self.decoder.open(blob) for _ in range(_THREADS)]
        try:
            assert all(_same(alone, found) for found in _in_step(readers, blob))
        finally:
            for opened in readers:
                opened.close()

    def test_one_reader_in_threads(self, reader: ImageReader, blob: Blob) -> None:
        """A reader that says it may be read in parallel reads the same then."""
        if not reader.info.parallel:
            pytest.skip("it says it may not")
        alone = [read(reader, blob, *window) for window in _quarters(reader)]
        assert all(_same(alone, found) for found in _in_step([reader] * _THREADS, blob))

    def test_close_twice(self, blob: Blob) -> None:
        """Closing a second time does nothing."""
        reader = self.decoder.open(blob)
        reader.close()
        reader.close()

    def test_descriptors_come_back(self, blob: Blob) -> None:
        """Opened, read and closed readers leave no file open."""

        def use() -> None:
            with closing(self.decoder.open(blob)) as reader:
                read(reader, blob, 0, Rect(0, 0, 1, 1))

        use()
        with all_come_back():
            for _ in range(5):
                use()

    def test_lost_blob(self, blob: Blob) -> None:
        """Where the blob has changed since it was found, opening or reading says just that, and nothing stays open."""
        lost = LostBlob(blob)
        with all_come_back(), pytest.raises(SourceChanged):
            self._open_and_read(lost)

    @pytest.mark.parametrize("content", [b"", b"\0", b"text, not an image\n" * 100, b"\xff" * 5000], ids=len)
    def test_something_else(self, folder: Path, content: bytes) -> None:
        """What is no image at all is turned down when it is opened, under every suffix and with a path or without."""
        for suffix in sorted(self.decoder.suffixes):
            path = folder / f"something-else.{suffix}"
            path.write_bytes(content)
            for blob in (MemoryBlob(path.name, content), MemoryBlob(path.name, content, path=path)):
                with pytest.raises((Unsupported, Malformed)):
                    self.decoder.open(blob)

    def test_nasty(self, folder: Path, nasty: str) -> None:
        """A nasty file ends in one of our errors and leaves no file open."""
        blob = self.nasties[nasty](folder)
        with all_come_back(), pytest.raises((Unsupported, Malformed, DecodeError)):
            self._open_and_read(blob)

    def _open_and_read(self, blob: Blob) -> None:
        with closing(self.decoder.open(blob)) as reader:
            for index, level in enumerate(reader.info.levels):
                read(reader, blob, index, _all_of(level))


def read(reader: ImageReader, blob: Blob, level: int, region: Rect) -> Pixels:
    """The pixels of a region, fetched as the core does."""
    window = reader.window(level, region)
    return pixels_of(reader, window, blob.read(window.ranges) if window.ranges else [])


def _in_step(readers: Sequence[ImageReader], blob: Blob) -> Sequence[Sequence[Pixels]]:
    """What each reader reads, a thread to each, all beginning at once."""
    barrier = Barrier(len(readers))

    def run(reader: ImageReader) -> Sequence[Pixels]:
        barrier.wait()
        return [read(reader, blob, *window) for window in _quarters(reader)]

    with ThreadPoolExecutor(len(readers)) as pool:
        return [*pool.map(run, readers)]


def _quarters(reader: ImageReader) -> Iterator[tuple[int, Rect]]:
    """The middle of every level in four windows."""
    for index, level in enumerate(reader.info.levels):
        width, height = max(1, level.size.width // 4), max(1, level.size.height // 4)
        for x, y in product((1, 2), (1, 2)):
            left, top = min(x * width, level.size.width - 1), min(y * height, level.size.height - 1)
            yield index, Rect(left, top, min(width, level.size.width - left), min(height, level.size.height - top))


def _same(some: Sequence[Pixels], others: Sequence[Pixels]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def _all_of(level: Level) -> Rect:
    return Rect(0, 0, level.size.width, level.size.height)


def _sides(level: Level) -> tuple[int, int]:
    return level.size.width, level.size.height


def _between(columns: tuple[int, int], rows: tuple[int, int]) -> Rect:
    return Rect(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])


def _cuts(length: int) -> st.SearchStrategy[Sequence[int]]:
    """Both ends of a side and up to two places between them."""
    inner = st.sets(st.integers(1, length - 1), max_size=2) if length > 1 else st.just(set[int]())
    return inner.map(lambda places: sorted({0, length, *places}))
