"""The part of an encoder's contract about memory: `memory(frame)` is an upper bound, from `start` to `finish`."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Final

import numpy as np

from sidecar.plugin import Frame, Size
from sidecar.testing import resident
from sidecar.testing.contracts.encoder_case import EncoderCase

_OBJECTS: Final = 2**16
"""Bytes of Python objects that are no buffers."""


class EncoderMemory(EncoderCase):
    """Whole pictures of noise, the worst case; what `write` returns is dropped before the next strip, as if sent."""

    def test_memory(self) -> None:
        """A picture of a few strips takes no more memory than the factory says, as Python's allocators see it."""
        frame = self.several_strips(3000, self.channels()[-1])
        respond = self._response(frame)
        respond()  # the first time loads what is loaded once
        tracemalloc.start()
        respond()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= self.factory.memory(frame) + _OBJECTS

    def test_resident_memory(self) -> None:
        """A picture of megapixels takes no more memory than the factory says, buffers of native libraries included.

        A whole picture that is kept but not declared shows here.
        """
        side = self.largest_side
        frame = Frame(size=Size(min(self.large.width, side), min(self.large.height, side)), channels=3)
        promised = self.factory.memory(frame)
        self._response(self.several_strips(300, 3))()
        grown = resident.growth(self._response(frame), promised + resident.SLACK)
        assert grown <= promised + resident.SLACK, f"a picture of {frame.size} took more than the factory promised"

    def _response(self, frame: Frame) -> Callable[[], None]:
        """Return a call that encodes noise, every strip the same: none is made while it is measured."""
        rows = min(self.factory.rows(frame), frame.size.height)
        shape = (rows, frame.size.width, frame.channels)
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

        def respond() -> None:
            encoder = self.factory.start(frame)
            for start in range(0, frame.size.height, rows):
                encoder.write(noise[: frame.size.height - start])
            encoder.finish()

        return respond
