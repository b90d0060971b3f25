"""A script without a server: the small codestreams that the sidecar decodes for tiles, decoded and encoded.

They are built before the clock starts. What is left is what decoding and encoding cost, in threads of this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar_jp2.extraction import Extracted, Extraction
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.windows import Jp2Window

from sidecar.plugin import Buffer, ByteRange, Rect
from sidecar.testing.reading import fetched, pixels_of
from tests.benchmarks.bits import found_loss, opened
from tests.benchmarks.peers.client import Answer
from tests.benchmarks.peers.peer import JPEG2000, Server
from tests.benchmarks.service import encoder


@dataclass(frozen=True, slots=True)
class Built:
    """An Extraction that has been built before."""

    extraction: Extraction
    small: Extracted

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """The other's."""
        return self.extraction.ranges

    @property
    def restyled(self) -> bool:
        """The other's."""
        return self.extraction.restyled

    @property
    def cut(self) -> bool:
        """The other's."""
        return self.extraction.cut

    def located(self, area: Area) -> Area:
        """Return what the other does."""
        return self.extraction.located(area)

    def extracted(self, data: Sequence[Buffer]) -> Extracted:
        """Return what was built."""
        del data
        return self.small


class Script:
    """Decodes and encodes tiles of one picture."""

    def __init__(self, path: Path) -> None:
        self._reader: Jp2Reader = opened(path)
        self._encode: Callable[[object], object] = encoder()
        self._ready: dict[str, tuple[Jp2Window, Sequence[Buffer]]] = {}

    def prepare(self, words: Sequence[str]) -> None:
        """Build the small codestreams of tiles; those of others are forgotten."""
        self._ready.clear()
        for each in words:
            level, region = tile(each)
            window = self._reader.lossy_window(level, region, found_loss(self._reader, level))
            data = fetched(self._reader.blob, window)
            if window.extraction:
                built = Built(window.extraction, window.extraction.extracted(data))
                window = replace(window, extraction=built)
            self._ready[each] = window, data

    def get(self, words: str) -> Answer:
        """Decode and encode a tile that has been prepared."""
        began = time.perf_counter()
        window, data = self._ready[words]
        self._encode(pixels_of(self._reader, window, data))
        took = time.perf_counter() - began
        return Answer(took, took, 1)

    def close(self) -> None:
        """Nothing is held open."""


def tile(words: str) -> tuple[int, Rect]:
    """Return the level of a tile, and its place there."""
    region, size = words.split("/")[:2]
    left, top, width, height = map(int, region.split(","))
    scale = width // int(size.rstrip(","))
    return scale.bit_length() - 1, Rect(left // scale, top // scale, width // scale, height // scale)


@dataclass(frozen=True, slots=True)
class Bare:
    """The script in the place of a server."""

    name: str = "bare script"
    kinds: Sequence[str] = (JPEG2000,)
    missing: str = ""
    version: str = "the sidecar's decoder and encoder, without the rest of it"

    @contextmanager
    def serve(self, home: Path, images: Path) -> Iterator[Server]:
        """Start nothing."""
        del home
        scripts: dict[str, Script] = {}

        def ask(name: str, connections: int) -> Script:
            del connections
            return scripts.setdefault(name, Script(images / name))

        yield Server(ask, lambda: [os.getpid()])
