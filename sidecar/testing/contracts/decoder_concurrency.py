"""The part of a decoder's contract about greenlets and threads: readers are shared, and the event loop goes on."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Final, TypeVar

import gevent
import pytest

from sidecar.plugin import Blob, Buffer, ByteRange, Pixels, Rect, SupportsThreads, Window
from sidecar.testing import standstill, thread_io
from sidecar.testing.contracts.decoder_case import DecoderCase, Reader, differing, pieces, quarters, whole
from sidecar.testing.fakes import WrappedBlob
from sidecar.testing.native_threads import native_threads
from sidecar.testing.reading import fetched, pixels_of, read

T = TypeVar("T")

_THREADS: Final = 3
_ATTEMPTS: Final = 10
_MOST: Final = 0.5
"""The largest share of a call for which others may stand still."""
_PAUSE: Final = 0.01
"""Seconds that each read of a blob and each native call take in `test_open_does_not_block`, the yardstick of it."""
_WAKE_UPS: Final = 2048
"""Bytes by which native threads wake up the event loop, 8 each."""
_TOO_SHORT: Final = 0.01
"""Seconds of a read below which the system's own scheduling hides whether the GIL was kept."""


class DecoderConcurrency(DecoderCase):
    """Many requests for one image at once."""

    def test_windows_in_greenlets(self, blob: Blob) -> None:
        """Greenlets in `window` at once, on a reader just opened, get the windows and pixels that they get alone."""
        with native_threads() as native:
            decoder, slow = self.make(native), _SlowBlob(blob, 0)
            with closing(decoder.open(slow)) as reader:
                asked = [*quarters(reader), *((0, region) for region in pieces(reader.info.levels[0], 3))]
                alone = [reader.window(*each) for each in asked]
                pixels = [pixels_of(reader, window, fetched(blob, window)) for window in alone]
            with closing(decoder.open(slow)) as reader:
                jobs = [gevent.spawn(_window_and_pixels, reader, blob, *each) for each in asked]
                gevent.joinall(jobs, raise_error=True)
                found = [job.get() for job in jobs]
        for each, window, wanted in zip(asked, [window for window, _ in found], alone, strict=True):
            assert (window.level, window.region, window.ranges) == (*each, wanted.ranges)
        assert not differing([each for _, each in found], pixels)

    def test_readers_in_threads(self, reader: Reader, blob: Blob) -> None:
        """Several readers of one image, each in a thread and all in step, read what one reads alone."""
        alone = [read(reader, blob, *window) for window in quarters(reader)]
        readers = [self.decoder.open(blob) for _ in range(_THREADS)]
        try:
            assert not _in_step(readers, blob, alone)
        finally:
            for opened in readers:
                opened.close()

    def test_one_reader_in_threads(self, reader: Reader, blob: Blob) -> None:
        """A reader that is a SupportsThreads reads the same in several threads at once, `window` included."""
        if not isinstance(reader, SupportsThreads):
            pytest.skip("it is read by one thread at a time")
        assert reader.thread_safe is True
        alone = [read(reader, blob, *window) for window in quarters(reader)]
        assert not _in_step([reader] * _THREADS, blob, alone)

    def test_read_lets_other_threads_go_on(self, reader: Reader, blob: Blob) -> None:
        """Reading releases the GIL: for less than half of a read, at best of several, the main thread stands still."""
        window = reader.window(0, whole(reader.info.levels[0]))
        data = fetched(blob, window)
        found = _best(lambda: standstill.of_threads(lambda: pixels_of(reader, window, data)))
        if found.seconds < _TOO_SHORT:
            pytest.skip(f"a read takes {found.seconds * 1000:.1f} ms: too short")
        assert found.share < _MOST, found

    def test_open_does_not_block(self, folder: Path, sample: str) -> None:
        """Opening lets other greenlets run: it makes blocking calls and long computations in `native` threads.

        Every read of the blob and every native call takes a while here; the longest time that no other greenlet runs
        must be less than half of all.
        """
        blob = _SlowBlob(self.samples[sample](folder), _PAUSE)
        with native_threads(pause=_PAUSE) as native:
            decoder = self.make(native)
            found = _best(lambda: standstill.of_greenlets(lambda: decoder.open(blob).close()))
        assert found.share < _MOST, found

    def test_no_file_is_read_in_the_event_loop(self, blob: Blob) -> None:
        """Opening and finding windows read blobs by their `read`, and files that they open themselves in `native`."""
        with native_threads() as native:
            decoder = self.make(native)

            def use() -> None:
                with closing(decoder.open(blob)) as reader:
                    for window in quarters(reader):
                        reader.window(*window)

            # The first time imports what is imported late.
            found = min(thread_io.bytes_read(use) for _ in range(2))
        assert found <= _WAKE_UPS


@dataclass(frozen=True, slots=True)
class _SlowBlob(WrappedBlob):
    """A blob whose `read` lets other greenlets run, as remote ones do."""

    seconds: float

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        gevent.sleep(self.seconds)
        return self.found.read(ranges)


def _window_and_pixels(reader: Reader, blob: Blob, level: int, region: Rect) -> tuple[Window, Pixels]:
    window = reader.window(level, region)
    return window, pixels_of(reader, window, fetched(blob, window))


def _best(measure: Callable[[], standstill.Standstill]) -> standstill.Standstill:
    """Measure until the share is small enough, a few times at most: what else the machine does only adds to it."""
    best = measure()
    for _ in range(_ATTEMPTS - 1):
        if best.share < _MOST:
            break
        best = min(best, measure(), key=lambda each: each.share)
    return best


def _in_step(readers: Sequence[Reader], blob: Blob, alone: Sequence[Pixels]) -> list[tuple[int, int]]:
    """Return what differs if the same windows are read by a thread for each reader, all beginning at once.

    Each thread begins with another window, so that whatever they share belongs to only one of them.
    """
    barrier = Barrier(len(readers))

    def run(number: int) -> list[tuple[int, int]]:
        windows = [*quarters(readers[number])]
        barrier.wait()
        found = [read(readers[number], blob, *window) for window in _rotated(windows, number)]
        return differing(found, _rotated(alone, number))

    with ThreadPoolExecutor(len(readers)) as pool:
        return [difference for found in pool.map(run, range(len(readers))) for difference in found]


def _rotated(items: Sequence[T], number: int) -> list[T]:
    return [*items[number:], *items[:number]]
