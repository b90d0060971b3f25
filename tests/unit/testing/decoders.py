"""Decoders of gradients that keep the contract, and for each of its laws one that breaks it."""

from __future__ import annotations

import ctypes
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageCms

from sidecar.plugin import (
    Advice,
    Blob,
    Buffer,
    ByteRange,
    DecodeError,
    EncodedTile,
    Fact,
    ImageInfo,
    Level,
    Native,
    Pixels,
    Rect,
    Tolerance,
    Window,
    run_inline,
)
from sidecar.testing.fakes import GradientDecoder, GradientReader, MemoryBlob, shade

PROFILE: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MEGAPIXEL: Final = 2**20
LONG: Final = 0.03
"""Seconds that the library of these decoders takes."""


class Reader:
    """A gradient's reader, to be derived from. Reads one thread at a time: it is no SupportsThreads."""

    def __init__(self, inner: GradientReader, blob: Blob) -> None:
        self.inner = inner
        self.blob = blob
        self.info: ImageInfo = inner.info

    def window(self, level: int, region: Rect) -> Window:
        """Return the window of the gradient."""
        return self.inner.window(level, region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it."""
        self.inner.read(window, data, into)

    def close(self) -> None:
        """Close the gradient."""
        self.inner.close()

    def change_levels(self, change: Callable[[Level], Level]) -> None:
        """Describe the levels otherwise."""
        self.info = replace(self.info, levels=tuple(map(change, self.info.levels)))


class Decoder(GradientDecoder):
    """Opens gradients with a reader of some kind, after a call of its library."""

    def __init__(
        self,
        kind: Callable[[GradientReader, Blob], Reader],
        native: Native = run_inline,
        library: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._kind = kind
        self._native = native
        self._library = library

    def open(self, blob: Blob) -> Reader:  # type: ignore[override]  # a reader of gradients all the same
        """Open the gradient."""
        self._native(self._library)
        return self._kind(super().open(blob), blob)


def slow_library() -> None:
    """Take long, and let other threads go on."""
    time.sleep(LONG)


class ReadsFileItself(GradientDecoder):
    """Reads the blob's path in the event loop."""

    def open(self, blob: Blob) -> GradientReader:
        """Read all of it at once."""
        assert blob.path is not None
        return super().open(MemoryBlob(blob.name, blob.path.read_bytes()))


class Greedy(Reader):
    """Takes 8 bytes for each pixel of a window while it reads, as it says."""

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it, with planes as a library might allocate them."""
        planes = np.ones(window.region.size.area)
        super().read(window, data, into)
        del planes


class SaysNothing(Greedy):
    """Takes as much, and says that it takes nothing."""

    def __init__(self, inner: GradientReader, blob: Blob) -> None:
        super().__init__(inner, blob)
        self.change_levels(lambda level: replace(level, pixel_bytes=0, fixed_bytes=0))


class DecodesAll(Reader):
    """Takes the memory of the whole level for each of its tiles."""

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it, with planes of all pixels."""
        planes = np.ones(self.info.levels[window.level].size.area)
        super().read(window, data, into)
        del planes


class Fetches(Reader):
    """Asks for the whole file and says that it fetches nothing."""

    def window(self, level: int, region: Rect) -> Window:
        """Ask for the whole file, too."""
        window = super().window(level, region)
        return replace(window, ranges=(*window.ranges, ByteRange(0, self.blob.size)))


class KeepsGil(Reader):
    """Reads with a library that keeps the GIL."""

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it, so slowly that it shows on a machine with much else to do."""
        ctypes.PyDLL(None).usleep(int(4 * LONG * 1e6))
        super().read(window, data, into)


class ReleasesGil(Reader):
    """Reads with a library that takes as long and releases the GIL."""

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it, slowly."""
        ctypes.CDLL(None).usleep(int(LONG * 1e6))
        super().read(window, data, into)


class NotReentrant(Reader):
    """Keeps the region it is asked for in a place that all greenlets share, while it reads its index."""

    def window(self, level: int, region: Rect) -> Window:
        """Return the window of the region that was asked for last."""
        self.region = region
        self.blob.read([ByteRange(0, 1)])
        return super().window(level, self.region)


class UnsafeThreads(Reader):
    """Shades in a place that all threads share, and says that it may be read by several."""

    thread_safe: Literal[True] = True

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Copy what was shaded last."""
        self.shaded = np.empty(into.shape, np.uint8)
        self.inner.read(window, data, self.shaded)
        time.sleep(0.001)
        shaded = self.shaded
        into[:] = shaded if shaded.shape == into.shape else 0


class FailsForGood(Reader):
    """Never reads again after an error, as the handles of some libraries."""

    failed = False

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it. The left edge of images of 1 channel is broken."""
        if self.failed or data[0][:8] != b"gradient" or _is_broken(self.info, window):
            self.failed = True
            raise DecodeError("the library is in an error state")
        super().read(window, data, into)


class FailsOnce(FailsForGood):
    """Reads other windows after an error."""

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it."""
        self.failed = False
        super().read(window, data, into)


def _is_broken(info: ImageInfo, window: Window) -> bool:
    return info.channels == 1 and window.region.x == 0


class Described(Reader):
    """Has an ICC profile."""

    def __init__(self, inner: GradientReader, blob: Blob) -> None:
        super().__init__(inner, blob)
        self.info = replace(self.info, icc=PROFILE)


class PassesTiles(Reader):
    """Passes on tiles as PNG, and has windows that tolerate errors."""

    shift = 0
    error = 0

    def encoded_tile(self, level: int, region: Rect) -> EncodedTile | None:
        """Return the tile if it is one."""
        own = self.info.levels[level]
        columns, rows = ({0, *range(0, side, 64), side} for side in (own.size.width, own.size.height))
        if not {region.x, region.right} <= columns or not {region.y, region.bottom} <= rows:
            return None
        shown = replace(region, x=region.x + self.shift)
        file = io.BytesIO()
        Image.fromarray(shade(shown, own, self.info.size, self.info.channels)).save(file, "PNG")
        return EncodedTile(region=region, media_type="image/png", ranges=(), prefix=file.getvalue())

    def tolerant_window(self, level: int, region: Rect, *, tolerance: Tolerance) -> Window:
        """Return the window as it is, or moved."""
        return self.window(level, replace(region, x=region.x + self.error * tolerance.exact))


class PassesOthers(PassesTiles):
    """Passes on the pixels beside the tile, and tolerates errors that nobody allowed."""

    shift = 1
    error = 1


class RepeatsItself(Reader):
    """Two facts of one name."""

    def facts(self) -> Sequence[Fact]:
        """Return them."""
        return [Fact("tiles", 1), Fact("tiles", 2)]

    def window_facts(self, window: Window) -> Sequence[Fact]:
        """Return nothing."""
        del window
        return []

    def advice(self) -> Sequence[Advice]:
        """Return nothing."""
        return []
