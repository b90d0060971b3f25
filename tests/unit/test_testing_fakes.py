"""The shipped fakes under the shipped contracts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from sidecar.interfaces import Decoder, EncoderFactory, Source
from sidecar.model import Frame, Rect, Size
from sidecar.testing.decoders import DecoderContract
from sidecar.testing.encoders import encode
from sidecar.testing.fakes import (
    GradientDecoder,
    MemoryBlob,
    MemorySource,
    RawEncoderFactory,
    gradient,
    shade,
    unraw,
)
from sidecar.testing.sources import SourceContract, Store


class TestGradient(DecoderContract):
    """The fake decoder."""

    decoder: ClassVar[Decoder] = GradientDecoder()
    samples: ClassVar = {
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
        """A table."""
        table: dict[str, MemoryBlob] = {}
        source: Source = MemorySource(table)

        def put(identifier: str, content: bytes) -> None:
            table[identifier] = MemoryBlob(identifier, content)

        return Store(source, put)


def test_raw_comes_back() -> None:
    """What the fake encoder wrote, `unraw` gives back, in strips as high as it was told to ask for."""
    factory = RawEncoderFactory(rows=7)
    like_any_other: EncoderFactory = factory
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    assert np.array_equal(unraw(encode(like_any_other, Frame(Size(30, 20), 4), picture)), picture)
    assert factory.started[0].strips == [7, 7, 6]


def test_gradient_is_the_same_at_every_level() -> None:
    """A pixel of a coarser level is as bright as the four it stands for, so that scaling can be judged by it."""
    reader = GradientDecoder().open(MemoryBlob("a.gradient", gradient(512, 512)))
    fine, coarse = (
        shade(Rect(0, 0, level.size.width, level.size.height), level, reader.info.size, 2).astype(np.int16)
        for level in reader.info.levels[:2]
    )
    assert np.abs(fine[::2, ::2] - coarse).max() <= 1
