"""Small plugins that need no library and no file: for tests of the core, and of plugins beside the one under test.

`MemorySource` finds `MemoryBlob`s, `GradientDecoder` opens those whose content `gradient()` wrote, `RawEncoderFactory`
makes the format `raw` of them: the pixels themselves, behind a line of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import DecodeError, Malformed, SourceChanged, SourceError, Unsupported
from sidecar.interfaces import Blob
from sidecar.model import Buffer, ByteRange, Frame, Grid, ImageInfo, Level, Pixels, Rect, Size, Window

_MAGIC: Final = b"gradient"


@dataclass(frozen=True, slots=True)
class MemoryBlob:
    """Bytes held in memory. `asked` keeps every range that was read, in order."""

    name: str
    content: bytes = field(repr=False)
    last_modified: datetime | None = None
    path: Path | None = None
    asked: list[ByteRange] = field(default_factory=list, repr=False, compare=False)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)

    @property
    def etag(self) -> str:
        """Of name and content."""
        return sha256(self.name.encode("utf-8", "surrogatepass") + b"\0" + self.content).hexdigest()[:32]

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range. Raises SourceError where there are none."""
        self.asked.extend(ranges)
        for wanted in ranges:
            if not 0 <= wanted.start <= wanted.stop <= self.size:
                raise SourceError(f"{self.name!r} has {self.size} bytes, none at {wanted.start} to {wanted.stop}")
        return [self.content[wanted.start : wanted.stop] for wanted in ranges]


def on_disk(path: Path) -> MemoryBlob:
    """The blob of a file, its path included, for decoders that insist on one."""
    return MemoryBlob(path.name, path.read_bytes(), path=path)


@dataclass(frozen=True, slots=True)
class LostBlob:
    """A blob that could be found and can no longer be read: it is another one by now."""

    found: Blob

    @property
    def name(self) -> str:
        """As it was found."""
        return self.found.name

    @property
    def size(self) -> int:
        """As it was found."""
        return self.found.size

    @property
    def etag(self) -> str:
        """As it was found."""
        return self.found.etag

    @property
    def last_modified(self) -> datetime | None:
        """As it was found."""
        return self.found.last_modified

    @property
    def path(self) -> Path | None:
        """As it was found."""
        return self.found.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Raises SourceChanged."""
        raise SourceChanged(f"{self.name!r}: none of {len(ranges)} ranges")


class MemorySource:
    """Finds blobs in a table, identifiers as keys."""

    def __init__(self, blobs: Mapping[str, MemoryBlob], name: str = "memory") -> None:
        self._blobs = blobs
        self.name = name

    def find(self, identifier: str) -> MemoryBlob | None:
        """The blob of an identifier."""
        return self._blobs.get(identifier)


def gradient(width: int, height: int, channels: int = 3, levels: int = 4, tile: int = 64) -> bytes:
    """A file that GradientDecoder opens. `tile` 0: untiled."""
    return b"%s %d %d %d %d %d\n" % (_MAGIC, width, height, channels, levels, tile)


def shade(region: Rect, level: Level, size: Size, channels: int) -> Pixels:
    """The pixels of a gradient image of `size`, (region.height, region.width, channels).

    Brighter to the right in the first channel, to the bottom in the second, at every level alike; the third is a
    pattern that tells each pixel of a level from its neighbours. Alpha, where there is one, is a gradient as well.
    """
    x = np.arange(region.x, region.right)[np.newaxis, :]
    y = np.arange(region.y, region.bottom)[:, np.newaxis]
    across = _ramp(x, level.downsample, size.width)
    down = _ramp(y, level.downsample, size.height)
    pattern = ((x * 31) ^ (y * 17)) & 255
    planes = np.broadcast_arrays(across, down, pattern, (across + down) // 2)
    return np.ascontiguousarray(np.stack(planes[:channels], axis=-1), dtype=np.uint8)


def _ramp(positions: NDArray[np.int64], downsample: float, length: int) -> NDArray[np.int64]:
    return np.minimum(255, (positions + 0.5) * downsample * 256 / length).astype(np.int64)


class GradientReader:
    """An opened gradient. Each window asks for the file's first line, so that fetching is exercised too."""

    def __init__(self, info: ImageInfo, line: bytes) -> None:
        self.info = info
        self.closed = False
        self._line = line

    def window(self, level: int, region: Rect) -> Window:
        """One range, the first line, whatever the region."""
        return Window(level, region, (ByteRange(0, len(self._line)),))

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it. Raises DecodeError where the line is not the one it was opened with, or the reader is closed."""
        if self.closed or [bytes(buffer) for buffer in data] != [self._line]:
            raise DecodeError("not the bytes of the window")
        into[:] = shade(window.region, self.info.levels[window.level], self.info.size, self.info.channels)

    def close(self) -> None:
        """Reading fails from here on."""
        self.closed = True


class GradientDecoder:
    """Opens what `gradient()` wrote. `opened` keeps every reader, for tests that ask whether all were closed."""

    name = "gradient"
    suffixes = frozenset({"gradient"})

    def __init__(self) -> None:
        self.opened: list[GradientReader] = []

    def open(self, blob: Blob) -> GradientReader:
        """Parse the first line. Raises Unsupported where it is of another kind, Malformed where it is broken."""
        head = bytes(blob.read([ByteRange(0, min(blob.size, 80))])[0])
        line = head[: head.find(b"\n") + 1]
        if not head.startswith(_MAGIC):
            raise Unsupported(f"{blob.name!r} is no gradient")
        try:
            width, height, channels, levels, tile = map(int, line.split()[1:])
        except ValueError as error:
            raise Malformed(f"{blob.name!r}: a gradient has five numbers") from error
        reader = GradientReader(_describe(Size(width, height), channels, levels, tile), line)
        self.opened.append(reader)
        return reader


def _describe(size: Size, channels: int, levels: int, tile: int) -> ImageInfo:
    grid = Grid(0, 0, tile, tile) if tile else None
    return ImageInfo(
        size=size,
        channels=channels,
        levels=tuple(
            Level(Size(-(-size.width >> k), -(-size.height >> k)), float(1 << k), grid) for k in range(levels)
        ),
        tile=Size(tile, tile) if tile else None,
        parallel=True,
    )


class RawEncoder:
    """A line `raw width height channels`, then the pixels. `strips` keeps the height of each strip."""

    def __init__(self, frame: Frame) -> None:
        self.strips: list[int] = []
        self._head = b"raw %d %d %d\n" % (frame.size.width, frame.size.height, frame.channels)

    def write(self, strip: Pixels) -> bytes:
        """The pixels, behind the line the first time."""
        head, self._head = self._head, b""
        self.strips.append(strip.shape[0])
        return head + strip.tobytes()

    def finish(self) -> bytes:
        """Nothing: the rows say it all."""
        return b""


class RawEncoderFactory:
    """Makes the format `raw`."""

    format = "raw"
    media_type = "application/octet-stream"
    alpha = True
    overhead = 3.0
    settings = ""

    def __init__(self, rows: int = 16) -> None:
        self._rows = rows
        self.started: list[RawEncoder] = []

    def rows(self, frame: Frame) -> int:
        """As it was made to say, whatever the frame."""
        del frame
        return self._rows

    def start(self, frame: Frame) -> RawEncoder:
        """Begin a picture."""
        encoder = RawEncoder(frame)
        self.started.append(encoder)
        return encoder


def unraw(content: bytes) -> Pixels:
    """The pixels of a `raw` file."""
    line, _, body = content.partition(b"\n")
    width, height, channels = map(int, line.split()[1:])
    return np.frombuffer(body, np.uint8).reshape(height, width, channels)
