"""Small plugins that need no library and no file: for tests of the core, and of plugins beside the one under test.

`MemorySource` finds `MemoryBlob`s, `GradientDecoder` opens those whose content `gradient()` made, `RawEncoderFactory`
makes the format `raw` of them: the pixels themselves, behind a line of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sidecar.plugin import (
    Advice,
    Blob,
    Buffer,
    ByteRange,
    DecodeError,
    Fact,
    Frame,
    Grid,
    ImageInfo,
    Level,
    Malformed,
    Pixels,
    Rect,
    Size,
    SourceChanged,
    SourceError,
    Unsupported,
    Window,
)

_MAGIC: Final = b"gradient"
_HEAD_BYTES: Final = 80


@dataclass(frozen=True, slots=True)
class MemoryBlob:
    """Bytes held in memory. `asked` keeps every range that was read, in order."""

    name: str
    content: bytes = field(repr=False)
    last_modified: datetime | None = None
    path: Path | None = None
    asked: list[ByteRange] = field(default_factory=list, repr=False, compare=False)
    etag: str = field(init=False, repr=False)
    """A digest of name and content. Made once: contracts measure for how long opening a blob keeps others waiting."""

    def __post_init__(self) -> None:
        digest = sha256(self.name.encode("utf-8", "surrogatepass") + b"\0" + self.content)
        object.__setattr__(self, "etag", digest.hexdigest()[:32])

    @property
    def size(self) -> int:
        """The length in bytes."""
        return len(self.content)

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range. Raises SourceError if the content does not have them."""
        self.asked.extend(ranges)
        for wanted in ranges:
            if not 0 <= wanted.start <= wanted.stop <= self.size:
                raise SourceError(f"{self.name!r} has {self.size} bytes, none at {wanted.start} to {wanted.stop}")
        return [self.content[wanted.start : wanted.stop] for wanted in ranges]


def on_disk(path: Path) -> MemoryBlob:
    """Return the blob of a file, its path included, for decoders that insist on one."""
    return MemoryBlob(path.name, path.read_bytes(), path=path)


@dataclass(frozen=True, slots=True)
class WrappedBlob:
    """What another blob says of itself; `read` is left to those who derive from it."""

    found: Blob

    @property
    def name(self) -> str:
        """That of the blob as it was found."""
        return self.found.name

    @property
    def size(self) -> int:
        """That of the blob as it was found."""
        return self.found.size

    @property
    def etag(self) -> str:
        """That of the blob as it was found."""
        return self.found.etag

    @property
    def last_modified(self) -> datetime | None:
        """That of the blob as it was found."""
        return self.found.last_modified

    @property
    def path(self) -> Path | None:
        """That of the blob as it was found."""
        return self.found.path


@dataclass(frozen=True, slots=True)
class LostBlob(WrappedBlob):
    """A blob whose content changed after it was found: reading it raises SourceChanged."""

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Raise SourceChanged."""
        raise SourceChanged(f"{self.name!r}: none of {len(ranges)} ranges")


class MemorySource:
    """Finds blobs in a table whose keys are identifiers."""

    def __init__(self, blobs: Mapping[str, MemoryBlob], name: str = "memory") -> None:
        self._blobs = blobs
        self.name = name

    def find(self, identifier: str) -> MemoryBlob | None:
        """Return the blob of an identifier, or None."""
        return self._blobs.get(identifier)


def gradient(width: int, height: int, channels: int = 3, levels: int = 4, tile: int = 64) -> bytes:
    """Return a file that GradientDecoder opens. `tile` 0: untiled."""
    return b"%s %d %d %d %d %d\n" % (_MAGIC, width, height, channels, levels, tile)


def shade(region: Rect, level: Level, size: Size, channels: int) -> Pixels:
    """Return the pixels of a gradient image of `size`, shape (region.height, region.width, channels).

    Brighter to the right in the first channel, to the bottom in the second, at every level alike; the third is a
    pattern that tells each pixel of a level from its neighbours. Alpha, if there is any, is a gradient as well.
    """
    pixels = np.empty((region.height, region.width, channels), np.uint8)
    _shade_into(pixels, region, level, size)
    return pixels


def _shade_into(into: Pixels, region: Rect, level: Level, size: Size) -> None:
    """Shade plane by plane, so that a large picture takes little beside itself: the decoder promises its memory."""
    x = np.arange(region.x, region.right)[np.newaxis, :]
    y = np.arange(region.y, region.bottom)[:, np.newaxis]
    across = _ramp(x, level.downsample, size.width)
    down = _ramp(y, level.downsample, size.height)
    channels = into.shape[2]
    into[..., 0] = across
    if channels > 1:
        into[..., 1] = down
    if channels > 2:  # noqa: PLR2004  # the third channel
        np.bitwise_xor((x * 31 & 255).astype(np.uint8), (y * 17 & 255).astype(np.uint8), out=into[..., 2])
    if channels > 3:  # noqa: PLR2004  # the fourth channel
        into[..., 3] = (across + down) // 2


def _ramp(positions: NDArray[np.int64], downsample: float, length: int) -> NDArray[np.int16]:
    return np.minimum(255, (positions + 0.5) * downsample * 256 / length).astype(np.int16)


class GradientReader:
    """An opened gradient. Each window asks for the file's first line, so that fetching is exercised too."""

    thread_safe: Literal[True] = True

    def __init__(self, info: ImageInfo, line: bytes) -> None:
        self.info = info
        self.closed = False
        self._line = line

    def window(self, level: int, region: Rect) -> Window:
        """Return a window of one range, the first line, whatever the region."""
        return Window(level=level, region=region, ranges=(ByteRange(0, len(self._line)),))

    def gathers(self, level: int, one: Rect, other: Rect) -> bool:
        """Report whether two regions touch: any that do may be read as one."""
        del level
        apart = max(one.x - other.right, other.x - one.right, one.y - other.bottom, other.y - one.bottom)
        return apart <= 0

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade the window. Raises DecodeError if the bytes are not the first line, or the reader is closed."""
        if self.closed or [bytes(buffer) for buffer in data] != [self._line]:
            raise DecodeError("not the bytes of the window")
        _shade_into(into, window.region, self.info.levels[window.level], self.info.size)

    def facts(self) -> Sequence[Fact]:
        """Return the line, without its end."""
        return [Fact("line", self._line.decode("ascii", "replace").rstrip())]

    def window_facts(self, window: Window) -> Sequence[Fact]:
        """Return the pixels of a window."""
        return [Fact("pixels", window.region.size.area)]

    def advice(self) -> Sequence[Advice]:
        """Advise against gradients without tiles."""
        return [] if self.info.tile else [Advice("it has no tiles", "write it in tiles of 64", ("tile IN OUT",))]

    def close(self) -> None:
        """Let all further reads fail."""
        self.closed = True


class GradientDecoder:
    """Opens what `gradient()` made. `opened` keeps every reader, for tests that ask whether all were closed."""

    name = "gradient"
    suffixes = frozenset({"gradient"})

    def __init__(self) -> None:
        self.opened: list[GradientReader] = []

    def recognizes(self, head: bytes) -> bool:
        """Report whether the file begins with the word."""
        return head.startswith(_MAGIC)

    def open(self, blob: Blob) -> GradientReader:
        """Parse the first line. Raises Unsupported if the file is of another kind, Malformed if the line is broken."""
        head = bytes(blob.read([ByteRange(0, min(blob.size, _HEAD_BYTES))])[0])
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
    grid = Grid(width=tile, height=tile) if tile else None
    return ImageInfo(
        size=size,
        channels=channels,
        levels=tuple(
            Level(size=Size(-(-size.width >> shift), -(-size.height >> shift)), downsample=float(1 << shift), grid=grid)
            for shift in range(levels)
        ),
        tile=Size(tile, tile) if tile else None,
    )


class RawEncoder:
    """Writes a line `raw width height channels`, then the pixels. `strips` keeps the height of each strip."""

    def __init__(self, frame: Frame) -> None:
        self.strips: list[int] = []
        self._head = b"raw %d %d %d\n" % (frame.size.width, frame.size.height, frame.channels)

    def write(self, strip: Pixels) -> bytes:
        """Return the pixels, behind the line the first time."""
        head, self._head = self._head, b""
        self.strips.append(strip.shape[0])
        return head + strip.tobytes()

    def finish(self) -> bytes:
        """Return nothing: the rows are the whole file."""
        return b""


class RawEncoderFactory:
    """Makes the format `raw`. `started` keeps every encoder."""

    format = "raw"
    media_type = "application/octet-stream"
    alpha = True
    settings = ""

    def __init__(self, rows: int = 16) -> None:
        self._rows = rows
        self.started: list[RawEncoder] = []

    def rows(self, frame: Frame) -> int:
        """Return the number that it was made with, whatever the frame."""
        del frame
        return self._rows

    def memory(self, frame: Frame) -> int:
        """Return the bytes of the first strip, twice: without and with the line before it."""
        return 2 * min(self._rows, frame.size.height) * frame.size.width * frame.channels + _HEAD_BYTES

    def start(self, frame: Frame) -> RawEncoder:
        """Begin a picture."""
        encoder = RawEncoder(frame)
        self.started.append(encoder)
        return encoder


def unraw(content: bytes) -> Pixels:
    """Return the pixels of a `raw` file."""
    line, _, body = content.partition(b"\n")
    width, height, channels = map(int, line.split()[1:])
    return np.frombuffer(body, np.uint8).reshape(height, width, channels)
