"""What the tests of an encoder's contract share: the factory, what its format can hold, and pictures to encode."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import numpy as np
from PIL import Image

from sidecar.plugin import EncoderFactory, Frame, Pixels, Size

_MODES: Final = {1: {"1", "L"}, 2: {"LA"}, 3: {"RGB"}, 4: {"RGBA"}}
_TALL: Final = 10_000
_STRIP: Final = 64
"""Rows that stand for a strip if the factory takes the whole picture as one."""


class EncoderCase:
    """What a subclass sets.

    Decoding is left to Pillow; a format that Pillow does not read needs `decode` and `profile` overridden.
    """

    factory: ClassVar[EncoderFactory]
    largest_side: ClassVar[int]
    """The largest width or height that the format (or its usual decoders) can hold."""
    tolerance: ClassVar[int] = 0
    """The largest difference of a sample, in grey levels, after a smooth picture was encoded; 0: lossless."""
    keeps_icc: ClassVar[bool] = True
    """Whether the format has a place for ICC profiles."""
    greys: ClassVar[bool] = True
    """Whether the format has grey; if not, grey comes back as three equal channels."""
    large: ClassVar[Size] = Size(4000, 3000)
    """The picture whose memory is measured. A slow encoder may take a smaller one, of several megapixels still."""

    def decode(self, file: bytes) -> Pixels:
        """Return a file's pixels, shape (rows, columns, channels)."""
        with Image.open(io.BytesIO(file)) as image:
            image.load()
            grey = image.convert("L") if image.mode == "1" else image
            pixels = np.asarray(grey)
            assert image.mode in _MODES[1 if pixels.ndim == 2 else pixels.shape[2]]  # noqa: PLR2004  # rows, columns
        return pixels.reshape(*pixels.shape[:2], -1)

    def profile(self, file: bytes) -> bytes | None:
        """Return a file's ICC profile."""
        with Image.open(io.BytesIO(file)) as image:
            found: bytes | None = image.info.get("icc_profile")
        return found

    def channels(self) -> Sequence[int]:
        """Return the numbers of channels that a frame may have."""
        return (1, 2, 3, 4) if self.factory.alpha else (1, 3)

    def usual_rows(self, width: int, channels: int) -> int:
        """Return the height of a strip, or of what stands for one if the factory takes the whole picture as one."""
        tall = min(_TALL, self.largest_side)
        rows = self.factory.rows(Frame(size=Size(width, tall), channels=channels))
        assert rows > 0
        return rows if rows < tall else min(_STRIP, tall)

    def several_strips(self, width: int, channels: int) -> Frame:
        """Return a frame of two strips and a bit."""
        rows = self.usual_rows(width, channels)
        return Frame(size=Size(width, min(2 * rows + rows // 2 + 1, self.largest_side)), channels=channels)

    def picture(self, frame: Frame, seed: int) -> Pixels:
        """Return noise for lossless formats; else waves of at most about two grey levels from pixel to pixel."""
        shape = (frame.size.height, frame.size.width, frame.channels)
        if not self.tolerance:
            return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        y, x, channel = np.ogrid[: shape[0], : shape[1], : shape[2]]
        waves = 128 + 70 * np.sin(x / 50 + seed) + 50 * np.cos(y / 60 + channel / 3)
        return np.asarray(waves.astype(np.uint8))

    def assert_same(self, found: Pixels, wanted: Pixels) -> None:
        """Fail unless the decoded pixels are the picture, as closely as the format holds it."""
        if not self.greys and wanted.shape[2] in (1, 2):
            wanted = np.concatenate([wanted[..., :1]] * 3 + [wanted[..., 1:]], axis=2)
        assert found.shape == wanted.shape
        difference = np.abs(found.astype(np.int16) - wanted.astype(np.int16))
        assert int(difference.max()) <= self.tolerance


def strips(factory: EncoderFactory, frame: Frame, picture: Pixels) -> Iterator[Pixels]:
    """Return the picture cut as the core cuts it: `rows(frame)` rows each, fewer only at the end."""
    rows = factory.rows(frame)
    assert rows > 0
    for start in range(0, frame.size.height, rows):
        yield picture[start : start + rows]


def encode(factory: EncoderFactory, frame: Frame, picture: Pixels) -> bytes:
    """Return the whole file."""
    encoder = factory.start(frame)
    written = [encoder.write(strip) for strip in strips(factory, frame, picture)]
    return b"".join((*written, encoder.finish()))
