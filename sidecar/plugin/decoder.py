"""What a decoder plugin implements: from a blob to the pixels of any window of the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeVar, runtime_checkable

from sidecar.plugin.geometry import Buffer, ByteRange, Pixels, Rect, Size
from sidecar.plugin.source import Blob
from sidecar.plugin.tolerance import Tolerance

SIGNATURE_BYTES: Final = 512
"""The number of bytes at the beginning of a blob by which decoders recognize it; smaller blobs have fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The grid on which a level decodes in pieces at least extra cost: piece k begins at ceil(origin + k * step).

    That is the grid of its tiles, if it has any. Fractions are exact: JPEG 2000 tiles divided by a power of two (ITU-T
    T.800 B.3), whole tiles of slides. Origin and step are in pixels of the level::

        x=0.5, width=2.5:   pixel columns  0 1 2 | 3 4 | 5 6 7 | 8 9 | …      (pieces begin at 1, 3, 6, 8, …)
    """

    x: float = 0
    y: float = 0
    width: float
    height: float

    def columns(self, start: int, stop: int) -> Iterator[int]:
        """Return the boundaries strictly between two columns, in order."""
        return _boundaries(self.x, self.width, start, stop)

    def rows(self, start: int, stop: int) -> Iterator[int]:
        """Return the boundaries strictly between two rows, in order."""
        return _boundaries(self.y, self.height, start, stop)


def _boundaries(origin: float, step: float, start: int, stop: int) -> Iterator[int]:
    k = math.floor((start - origin) / step)
    while (boundary := math.ceil(origin + k * step)) < stop:
        if boundary > start:
            yield boundary
        k += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One resolution of an image.

    The three byte counts are a promise that the core's memory budget rests on, and that `DecoderContract` measures:
    decoding a region takes at most `fixed_bytes + pixel_bytes * area` bytes beside the array that its pixels are
    written to. The area is counted in whole tiles if the level has any.
    """

    size: Size
    downsample: float
    """How many pixels of the full resolution make one of this level, in each direction."""
    grid: Grid | None
    """None: any piece may cost as much as the whole."""
    fixed_bytes: int = 0
    """Bytes that any window takes, however small: structures of the library, parsed headers."""
    pixel_bytes: float = 8.0
    """Bytes that each pixel takes on top: the library's own planes, coefficients.

    0 beside `fixed_bytes`: whole pieces of the grid are decoded, whatever part of them is wanted.
    """
    coded_bytes: float = 0.0
    """Upper bound on compressed bytes per pixel of this level; used to budget what is fetched ahead."""
    fixed_seconds: float = 0.0
    """Processor seconds that any window takes, however small; 0 if that is not known. A response that would take longer
    than requests may is refused before anything is decoded, so these two are upper bounds, but not by much."""
    pixel_seconds: float = 0.0
    """Processor seconds that each pixel of a window takes on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What an image is, as it is stored: the core turns what it shows by `orientation`, readers never do."""

    size: Size
    channels: int
    """Of the pixels that the reader writes: 1, 2, 3 or 4, see Pixels."""
    levels: tuple[Level, ...]
    """Finest first; levels[0].size == size."""
    tile: Size | None = None
    """The size of the file's own tiles at full resolution; None: untiled."""
    icc: bytes | None = field(default=None, repr=False)
    """The ICC profile that describes the pixels as they are written."""
    orientation: int = 1
    """How the image is to be shown, as the values 1 to 8 of EXIF's tag Orientation say (TIFF 6.0 page 36). The size,
    the levels, the tile and the pixels that the reader writes are as stored. 1: as stored."""
    alpha_is_optional: bool = False
    """Whether opacity, the last channel, is left out of responses where a Cantaloupe stands behind the sidecar, since
    Cantaloupe shows such files without it."""
    pixel_micrometres: float | None = None
    """The side of a pixel at full resolution on what the image shows, in micrometres; None: unknown, or pixels are not
    square. Only what is certain: many files state a resolution that nobody measured, as 72 to the inch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A region of a level and the bytes that decoding it takes. A value: it belongs to no request.

    A decoder that has more to remember between `window` and `read` derives its own frozen dataclass from this one.
    """

    level: int
    region: Rect
    """In pixels of the level."""
    ranges: tuple[ByteRange, ...] = ()
    """What to read from the blob, in this order; empty if the reader reads a local path itself."""


W = TypeVar("W", bound=Window)
W_co = TypeVar("W_co", bound=Window, covariant=True)


class ImageReader(Protocol[W]):
    """An opened image, shared by all requests for it. `W` is the reader's own kind of window.

    Any number of greenlets may be in `window` at once. `read` is called from one native thread at a time, unless the
    reader is a `SupportsThreads` too.
    """

    @property
    def info(self) -> ImageInfo:
        """What the image is; the same value whenever it is asked."""
        ...

    def window(self, level: int, region: Rect) -> W:
        """Return which bytes decoding a region of a level takes. Called in a greenlet; may read parts of an index.

        Raises DecodeError, Unsupported, Malformed, SourceError.
        """
        ...

    def read(self, window: W, data: Sequence[Buffer], into: Pixels) -> None:
        """Decode a window into `into`, shape (region.height, region.width, info.channels). Called in a native thread.

        `into` is mostly a view of a larger array, so its rows need not be adjacent. All of it is written, whatever it
        held before, or an error is raised. `data` holds the bytes of `window.ranges`, in the same order. Raises
        DecodeError; other requests go on reading after an error.
        """
        ...

    def close(self) -> None:
        """Release everything; a second call does nothing. Never called while `read` runs."""
        ...


class Decoder(Protocol):
    """Opens one family of formats.

    Several decoders may claim a suffix. They are asked in the order of SIDECAR_DECODERS, then of their names, until
    one does not raise Unsupported. A blob whose suffix nobody claims is offered to those that recognize its first
    bytes.
    """

    @property
    def name(self) -> str:
        """A short name for logs, metrics and SIDECAR_DECODERS."""
        ...

    @property
    def suffixes(self) -> frozenset[str]:
        """The suffixes of blob names that it may be asked about, lower case, without the dot."""
        ...

    def recognizes(self, head: bytes) -> bool:
        """Report whether a blob that begins with these bytes (SIGNATURE_BYTES at most) may be of its formats."""
        ...

    def open(self, blob: Blob) -> ImageReader[Any]:
        """Read what is needed to know the image. Called in a greenlet.

        Raises Unsupported if the content is of another format or might be decoded wrongly, DecodeError if it is broken,
        Malformed if it is known to make decoders hang or claim memory, SourceError.
        """
        ...


@runtime_checkable
class HoldsBytes(Protocol):
    """An optional power of a reader: it says how much memory it holds while nothing is read.

    Readers are kept for the next requests within a number of bytes. One without it counts as a few kilobytes.
    """

    @property
    def held_bytes(self) -> int:
        """Bytes of parsed headers, tables and the like. The ICC profile of its info is counted apart."""
        ...


@runtime_checkable
class SupportsThreads(Protocol):
    """An optional power of a reader: `read` may run in several native threads at once.

    Readers without it are read by one thread at a time; other threads wait.
    """

    @property
    def thread_safe(self) -> Literal[True]:
        """Always true: having the member is the promise."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedTile:
    """A tile as the file holds it: `prefix`, then the bytes of `ranges`, are a whole file of `media_type`."""

    region: Rect
    """In pixels of the level."""
    media_type: str
    ranges: tuple[ByteRange, ...]
    prefix: bytes = field(default=b"", repr=False)
    """What the format needs before the stored bytes, as the shared tables of a JPEG-in-TIFF (TIFF Technical Note 2)."""

    def file(self, data: Sequence[Buffer]) -> bytes:
        """Return the whole file from the bytes of `ranges`, in the same order. Called in a greenlet; must be quick.

        A decoder that has to look at them derives its own frozen dataclass. Raises DecodeError if they are not what the
        tile should be.
        """
        return b"".join((self.prefix, *data))


@runtime_checkable
class SupportsEncodedTiles(Protocol):
    """An optional power of a reader: a stored tile can be passed on without decoding it.

    The core does so if a response is exactly that region, in the tile's format, and nothing changes its pixels. A tile
    holds the ICC profile of `info`, if there is one, as the core's own responses do.
    """

    def encoded_tile(self, level: int, region: Rect) -> EncodedTile | None:
        """Return the stored tile that shows exactly this region, or None.

        Called in a greenlet; may read parts of an index. Raises as `window`.
        """
        ...


@runtime_checkable
class SupportsTolerance(Protocol[W_co]):
    """An optional power of a reader: it decodes faster if the response hides small errors anyway."""

    def tolerant_window(self, level: int, region: Rect, *, tolerance: Tolerance) -> W_co:
        """As `window`; pixels may be off as far as such a file hides it. The window itself if `tolerance.exact`."""
        ...


@runtime_checkable
class MayLose(Protocol):
    """An optional power of a decoder: it says whether its readers make use of tolerances."""

    @property
    def loss(self) -> str:
        """All that changes the pixels of tolerant windows, as text; empty if they are exact.

        Part of the ETag of lossy files, which is weak then (RFC 9110 §8.8.1): what a window shows may depend on what is
        decoded together, and on what is known of the image by then.
        """
        ...


@runtime_checkable
class SupportsGathering(Protocol):
    """An optional power of a reader: windows that are near each other cost less if they are decoded as one.

    While requests wait for a processor, those for windows of the same level are gathered as far as the reader says, and
    the smallest rectangle that holds them is read. Readers without it decode each window alone.
    """

    def gathers(self, level: int, one: Rect, other: Rect) -> bool:
        """Report whether a window that holds two regions costs clearly less than the two. Called in a greenlet.

        It is called often, so it must be quick; it reads nothing. Only what the regions share counts, such as code
        blocks: the core weighs the pixels between them, which nobody has asked for.
        """
        ...
