"""What the tests of a decoder's contract share: the decoder, its samples, and the windows that are read of them."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise, product
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import pytest

from sidecar.plugin import Blob, Decoder, ImageReader, Level, Native, Pixels, Rect, Window, run_inline

Make: TypeAlias = Callable[[Path], Blob]
"""Makes a blob; the folder is for files of its own, the same for all tests of a class."""
Reader: TypeAlias = ImageReader[Window]


class DecoderCase:
    """What a subclass sets, and the fixtures made of it."""

    decoder: ClassVar[Decoder]
    """The decoder under test; made by `make(run_inline)` unless it is set."""
    samples: ClassVar[Mapping[str, Make]]
    """Images of every kind it reads, by a name for people."""
    nasties: ClassVar[Mapping[str, Make]]
    """Files that it must refuse, when they are opened or at the latest when they are read."""
    profiles: ClassVar[Mapping[str, bytes | None]] = {}
    """The ICC profile that describes the pixels of a sample; None: none, because they are sRGB already."""
    tile_tolerance: ClassVar[float] = 2.0
    """The difference in grey levels (root mean square) between a stored tile decoded by Pillow and the same window."""

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Make the decoder with these native threads. To be overridden if it uses any."""
        del native
        return cls.decoder

    def __init_subclass__(cls) -> None:
        """Make the decoder of the class."""
        super().__init_subclass__()
        if "make" in vars(cls) and "decoder" not in vars(cls):
            cls.decoder = cls.make(run_inline)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test for each sample, nasty or profile."""
        for fixture, table in (("sample", "samples"), ("nasty", "nasties"), ("described", "profiles")):
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, sorted(getattr(self, table)))

    @pytest.fixture
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return the folder that samples are made in, one for the class."""
        path = tmp_path_factory.getbasetemp() / f"decoder-{type(self).__qualname__}"
        path.mkdir(exist_ok=True)
        return path

    @pytest.fixture
    def blob(self, folder: Path, sample: str) -> Blob:
        """Return a sample."""
        return self.samples[sample](folder)

    @pytest.fixture
    def reader(self, blob: Blob) -> Iterator[Reader]:
        """Open a sample."""
        with closing(self.decoder.open(blob)) as reader:
            yield reader


def quarters(reader: Reader) -> Iterator[tuple[int, Rect]]:
    """Return the middle of every level in four windows: (level, region)."""
    for index, level in enumerate(reader.info.levels):
        width, height = max(1, level.size.width // 4), max(1, level.size.height // 4)
        for x, y in product((1, 2), (1, 2)):
            left, top = min(x * width, level.size.width - 1), min(y * height, level.size.height - 1)
            yield index, Rect(left, top, min(width, level.size.width - left), min(height, level.size.height - top))


def pieces(level: Level, count: int = 2) -> Iterator[Rect]:
    """Return a level cut into `count` columns and rows of regions, fewer if it has fewer pixels."""
    columns, rows = (np.unique(np.linspace(0, side, count + 1, dtype=int)).tolist() for side in sides(level))
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield Rect(left, top, right - left, bottom - top)


def whole(level: Level) -> Rect:
    """Return the region that is all of a level."""
    return Rect(0, 0, level.size.width, level.size.height)


def sides(level: Level) -> tuple[int, int]:
    """Return width and height of a level."""
    return level.size.width, level.size.height


def differing(some: Sequence[Pixels], others: Sequence[Pixels]) -> list[tuple[int, int]]:
    """Return the windows that differ: (its number, how many of its samples)."""
    assert len(some) == len(others)
    return [
        (number, int(np.count_nonzero(one != other)))
        for number, (one, other) in enumerate(zip(some, others, strict=True))
        if not np.array_equal(one, other)
    ]
