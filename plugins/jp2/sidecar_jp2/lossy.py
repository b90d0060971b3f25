"""What may be lost of windows: asked of the index, and measured when the worker is idle if it is not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from sidecar.plugin import Blob, Buffer, ByteRange, ImageInfo, Native, Pixels, Rect, Tolerance, working_on
from sidecar_jp2.color.channels import ColorModel, Space
from sidecar_jp2.extraction import Extractor
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.loss.idle_work import IdleWork
from sidecar_jp2.loss.loss_table import RULE, LossKey
from sidecar_jp2.loss.search import Search, typical
from sidecar_jp2.windows import Jp2Window

SIDE, GRID, WINDOWS = 256, 4, 6
"""Pixels of the windows that are measured. The search is among WINDOWS of them, and GRID x GRID have a say."""
MEASURING_BYTES: Final = 64 * 2**20
"""What measuring may take at once, beside responses; images of which a window may take more stay exact."""
ALIGNED: Final = 16
"""The sides of an MCU of 4:2:0 (ITU-T T.81 A.2.4)."""
LEAST_PRECISION: Final = 8
"""Bits of a sample. Images of fewer are drawings and texts."""


class Measurable(Protocol):
    """What the rule needs of a reader."""

    @property
    def info(self) -> ImageInfo:
        """See ImageReader."""
        ...

    @property
    def extractor(self) -> Extractor:
        """Keeps what is measured, with the index."""
        ...

    @property
    def blob(self) -> Blob:
        """The file."""
        ...

    @property
    def layers(self) -> int:
        """Its quality layers."""
        ...

    def lossy_window(self, level: int, region: Rect, loss: Loss | None) -> Jp2Window:
        """Return the window of a region with a loss."""
        ...

    def read(self, window: Jp2Window, data: Sequence[Buffer], into: Pixels) -> None:
        """See ImageReader."""
        ...


class LossRule:
    """The rule of one worker."""

    def __init__(self, decibels: float, native: Native, idle: IdleWork) -> None:
        """`decibels` is the loss that is allowed, more than 0; `native` runs what takes long, once it is `idle`."""
        self._decibels = decibels
        self._native = native
        self._idle = idle

    @property
    def text(self) -> str:
        """All that changes what is lost."""
        return f"{self._decibels:g}/{RULE}"

    @property
    def learning(self) -> bool:
        """Whether a measurement waits or is made."""
        return self._idle.busy

    def loss(self, reader: Measurable, level: int, tolerance: Tolerance) -> Loss | None:
        """Return what may be lost of windows of a level; None if nothing may, or if that is not known yet."""
        self._idle.note()
        key = LossKey(level, tolerance, self._decibels)
        known, loss = reader.extractor.loss(key)
        if not known:
            self._idle.add((reader.blob.etag, key), lambda: self._measure(reader, key))
        return loss

    def _measure(self, reader: Measurable, key: LossKey) -> None:
        """Measure windows of a level, and keep the result with the index."""
        if not reader.extractor.loss(key)[0]:
            reader.extractor.keep(key, self._found(reader, key))

    def _found(self, reader: Measurable, key: LossKey) -> Loss | None:
        level = reader.info.levels[key.level]
        if level.fixed_bytes + level.pixel_bytes * SIDE * SIDE > MEASURING_BYTES:
            return None
        # A file that crashes OpenJPEG here must not do so in worker after worker.
        native = working_on(self._native, reader.blob.etag)
        samples = _Samples(reader, key.level, self._idle, native)
        if not samples.regions:
            return None
        search = Search(samples.decode, native, len(samples.regions), WINDOWS, key.tolerance, self._decibels)
        return search.find(edged=samples.edged, layers=reader.layers)


class _Samples:
    """The windows of a level that are measured."""

    def __init__(self, reader: Measurable, level: int, idle: IdleWork, native: Native) -> None:
        self._reader = reader
        self._level = level
        self._idle = idle
        self._native = native
        candidates = _candidates(reader, level)
        windows = [reader.lossy_window(level, each, None) for each in candidates]
        chosen = typical([sum(part.length for part in window.ranges) for window in windows], WINDOWS)
        # Windows that take no ranges are decoded out of the whole file: nothing is left out of it.
        order = [*chosen, *(number for number in range(len(windows)) if number not in chosen)]
        self.regions = [candidates[number] for number in order if windows[number].extraction]
        self.edged = reader.info.tile is None
        self._data: dict[tuple[ByteRange, ...], Sequence[Buffer]] = {}

    def decode(self, number: int, loss: Loss | None) -> Pixels:
        """Return the colours of a window."""
        self._idle.pause()
        region = self.regions[number]
        window = self._reader.lossy_window(self._level, region, loss)
        if window.ranges not in self._data:
            self._data[window.ranges] = self._reader.blob.read(window.ranges)
        pixels = np.empty((region.height, region.width, self._reader.info.channels), np.uint8)
        self._native(self._reader.read, window, self._data[window.ranges], pixels)
        colors = 1 if pixels.shape[2] < 3 else 3  # noqa: PLR2004  # opacity is not lost
        return np.ascontiguousarray(pixels[..., :colors])


def _candidates(reader: Measurable, level: int) -> Sequence[Rect]:
    size = reader.info.levels[level].size
    width, height = min(SIDE, size.width), min(SIDE, size.height)
    places = [(2 * place + 1) / (2 * GRID) for place in range(GRID)]
    found = {
        Rect(_aligned(x * (size.width - width)), _aligned(y * (size.height - height)), width, height)
        for y in places
        for x in places
    }
    return sorted(found, key=lambda rect: (rect.y, rect.x))


def _aligned(place: float) -> int:
    """Return where the JPEG of a tile has the same blocks: tiles begin at multiples of them."""
    return int(place) // ALIGNED * ALIGNED


def can_lose(header: MainHeader, color: ColorModel) -> bool:
    """Return whether bits of an image may be left out: grey or coloured pictures, coded in one way."""
    return (
        color.space in (Space.GREY, Space.RGB)
        and not color.indexed
        and not header.has(Marker.RGN)
        and len({coding.reversible for coding in header.coding}) == 1
        and not any(coding.high_throughput for coding in header.coding)
        and all(
            (part.dx, part.dy, part.signed) == (1, 1, False) and part.precision >= LEAST_PRECISION
            for part in header.geometry.components
        )
    )
