"""The shipped fakes keep the shipped contracts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from sidecar.plugin import Decoder, EncoderFactory, Frame, Rect, Size, Source
from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.contracts.encoder import EncoderContract, encode
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient, shade, unraw


class TestGradient(DecoderContract):
    """The fake decoder."""

    decoder: ClassVar[Decoder] = GradientDecoder()
    samples: ClassVar = {
        "large": lambda _: MemoryBlob("large.gradient", gradient(1500, 700, channels=4)),
        "rgb": lambda _: MemoryBlob("a.gradient", gradient(301, 203)),
        "grey, untiled": lambda _: MemoryBlob("b.gradient", gradient(64, 64, channels=1, levels=1, tile=0)),
        "rgba, one pixel": lambda _: MemoryBlob("c.gradient", gradient(1, 1, channels=4, levels=1)),
    }
    nasties: ClassVar = {
        "cut": lambda _: MemoryBlob("cut.gradient", gradient(301, 203)[:12]),
        "words": lambda _: MemoryBlob("words.gradient", b"gradient as wide as high\n"),
    }


class TestMemory(SourceContract):
    """The fake source."""

    @pytest.fixture
    def store(self) -> Store:
        """Return a table."""
        table: dict[str, MemoryBlob] = {}
        source: Source = MemorySource(table)

        def put(identifier: str, content: bytes) -> None:
            table[identifier] = MemoryBlob(identifier, content)

        return Store(source, put)


class _Raw(EncoderContract):
    factory: ClassVar[EncoderFactory] = RawEncoderFactory(rows=64)
    largest_side = 100_000


def test_raw_takes_the_memory_it_says() -> None:
    """The fake encoder's memory is that of a strip, twice, whatever the picture."""
    _Raw().test_memory()
    _Raw().test_resident_memory()


def test_raw_comes_back() -> None:
    """`unraw` returns what the fake encoder was given, in strips as high as it was made to ask for."""
    factory = RawEncoderFactory(rows=7)
    like_any_other: EncoderFactory = factory
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    assert np.array_equal(unraw(encode(like_any_other, Frame(size=Size(30, 20), channels=4), picture)), picture)
    assert factory.started[0].strips == [7, 7, 6]


def test_gradient_is_the_same_at_every_level() -> None:
    """A pixel of a coarser level is as bright as the four it stands for, so that scaling can be judged by it."""
    reader = GradientDecoder().open(MemoryBlob("a.gradient", gradient(512, 512)))
    fine, coarse = (
        shade(Rect(0, 0, level.size.width, level.size.height), level, reader.info.size, 2).astype(np.int16)
        for level in reader.info.levels[:2]
    )
    assert np.abs(fine[::2, ::2] - coarse).max() <= 1
