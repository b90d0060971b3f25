"""What encoders demand of a picture: how large it may be, and where it is encoded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import pytest

from sidecar.errors import BeyondFormat
from sidecar.iiif.geometry import Geometry
from sidecar.limits.admission import Admission
from sidecar.limits.threads import NativePool
from sidecar.plugin import Frame, Pixels, Rect, Size
from sidecar.render.client import Client
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.demands import demands
from sidecar.render.plan import PlanLimits, make_plan
from sidecar.render.reader_cache import ReaderCache
from sidecar.render.renderer import Renderer
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, RawEncoder, RawEncoderFactory, gradient

MOST: Final = 2_000_000
LIMITS: Final = PlanLimits(cores=2, request_memory=1 << 26, memory=1 << 40, filter="bicubic", background=(0, 0, 0))


class Encoder(RawEncoder):
    """Keeps the threads that it was called in."""

    def __init__(self, frame: Frame, threads: set[int]) -> None:
        super().__init__(frame)
        self._threads = threads

    def write(self, strip: Pixels) -> bytes:
        """Note the thread."""
        self._threads.add(threading.get_native_id())
        return super().write(strip)


class Streaming(RawEncoderFactory):
    """A format that streams."""

    def __init__(self) -> None:
        super().__init__(64)
        self.threads: set[int] = set()

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture."""
        return Encoder(frame, self.threads)


class Whole(Streaming):
    """A format of up to two megapixels that does not."""

    largest_area = MOST


class OneStrip(Streaming):
    """A format that streams, but wants all rows at once, as progressive JPEG."""

    def rows(self, frame: Frame) -> int:
        """Return all rows."""
        return frame.size.height


@pytest.mark.parametrize("size, refused", [(Size(2000, 1000), False), (Size(2000, 1001), True), (Size(1, MOST), False)])
def test_the_most_pixels(size: Size, refused: bool) -> None:  # noqa: FBT001
    """A format that needs whole pictures is asked for no more pixels than it says; another one for any."""
    frame = Frame(size=size, channels=3)
    demands(Streaming(), frame)
    if refused:
        with pytest.raises(BeyondFormat, match="2000 x 1001 pixels; the most pixels of raw are 2000000"):
            demands(Whole(), frame)
    else:
        assert demands(Whole(), frame).rows == 64


@pytest.mark.parametrize(
    "kind, side, background",
    [
        (Whole, 1200, True),
        (Whole, 1000, False),
        (OneStrip, 1200, True),
        (OneStrip, 1000, False),
        (Streaming, 1200, False),
    ],
)
def test_long_calls_are_made_in_the_background(
    kind: Callable[[], Streaming],
    side: int,
    background: bool,  # noqa: FBT001
) -> None:
    """A picture of more than a megapixel in one call is encoded in threads that give way; others are not."""
    small, bulk = NativePool(1), NativePool(1)
    blob = MemoryBlob("x.gradient", gradient(1500, 1500))
    readers = ReaderCache(DecoderChoice([GradientDecoder()]), 1)
    line, factory = Renderer(readers, Admission(1 << 40, 1, 1), small, bulk), kind()
    region = Rect(0, 0, side, side)
    made = make_plan(Geometry(region, region.size), "default", readers.info(blob), factory, LIMITS)
    body = line.start(made, blob, factory, Client())
    assert sum(map(len, body)) > region.size.area * made.frame.channels
    body.close()
    assert factory.threads == {(bulk if background else small)(threading.get_native_id)}
    small.close()
    bulk.close()
