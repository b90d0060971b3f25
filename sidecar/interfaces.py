"""What a plugin implements: small Protocols, and who calls them from where.

Three kinds of places run code. *Greenlets*: one thread, cooperative; whatever runs there must not block and should
take at most a few milliseconds. *Native threads*: code that has let go of the GIL while it works, and never waits for
a remote. `Native` takes a call from the first to the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar, runtime_checkable

from sidecar.model import Buffer, ByteRange, Frame, ImageInfo, Pixels, Rect, Window

P = ParamSpec("P")
T = TypeVar("T")


class Native(Protocol):
    """Runs a blocking call in a native thread; the calling greenlet waits and others go on. Raises what it raises."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the call and wait for its value."""
        ...


class Blob(Protocol):
    """The bytes behind an identifier, at one moment. Any number of greenlets may read it at once."""

    @property
    def name(self) -> str:
        """File name or object key; its suffix says which decoder to ask."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def etag(self) -> str:
        """Differs between any two blobs, and whenever the content changes; no quotes."""
        ...

    @property
    def last_modified(self) -> datetime | None:
        """Aware, in whole seconds."""
        ...

    @property
    def path(self) -> Path | None:
        """Where the bytes lie on this machine, for libraries that insist on a file."""
        ...

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range, whole and in order. Called in a greenlet.

        Raises SourceError where they cannot be had, SourceChanged where the content is no longer that of `etag`.
        """
        ...


class Source(Protocol):
    """Where identifiers lead."""

    @property
    def name(self) -> str:
        """For logs and metrics."""
        ...

    def find(self, identifier: str) -> Blob | None:
        """The blob of a decoded identifier (any text, NUL and `../` included), or None. Called in a greenlet.

        Raises SourceError where the place does not answer; never gives a blob outside what it is set to serve.
        """
        ...


class ImageReader(Protocol):
    """An opened image. It serves one request at a time; the core leases it."""

    @property
    def info(self) -> ImageInfo:
        """What the image is."""
        ...

    def window(self, level: int, region: Rect) -> Window:
        """Which bytes decoding a region of a level takes. Called in a greenlet; may read parts of an index.

        Raises DecodeError, Malformed, SourceError.
        """
        ...

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Decode a window into `into`: (region.height, region.width, info.channels). Called in a native thread.

        `into` is mostly a view of a larger array, so its rows need not be adjacent. All of it is written, whatever it
        held before, or an error is raised. `data` holds the bytes of `window.ranges`. Raises DecodeError. With
        `info.parallel`, called from several threads at once.
        """
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing. Never called while `read` runs."""
        ...


class Decoder(Protocol):
    """Opens one family of formats."""

    @property
    def name(self) -> str:
        """For logs and metrics."""
        ...

    @property
    def suffixes(self) -> frozenset[str]:
        """Of blob names it may be asked about, lower case, without the dot."""
        ...

    def open(self, blob: Blob) -> ImageReader:
        """Read what is needed to know the image. Called in a greenlet.

        Raises Unsupported where the content is not its own or not surely right, Malformed where the structure is
        broken, SourceError.
        """
        ...


class Encoder(Protocol):
    """One picture being encoded. Called in native threads, one call at a time."""

    def write(self, strip: Pixels) -> bytes:
        """The next rows: `rows` of them, fewer only at the end. May give no bytes yet. Raises EncodeError."""
        ...

    def finish(self) -> bytes:
        """The end of the file."""
        ...


class EncoderFactory(Protocol):
    """Makes encoders of one IIIF format."""

    @property
    def format(self) -> str:
        """As in the URL: `jpg`."""
        ...

    @property
    def media_type(self) -> str:
        """As in Content-Type: `image/jpeg`."""
        ...

    @property
    def alpha(self) -> bool:
        """Whether an alpha channel can be kept; else the core puts the pixels on the background colour."""
        ...

    @property
    def settings(self) -> str:
        """All settings that change the bytes made of the same pixels; part of the answer's ETag."""
        ...

    @property
    def overhead(self) -> float:
        """Bytes that writing takes at most for each byte of a strip, beside the strip; what it gives included."""
        ...

    def rows(self, frame: Frame) -> int:
        """The strip height it wants."""
        ...

    def start(self, frame: Frame) -> Encoder:
        """Begin a picture. Raises EncodeError (a size the format cannot hold)."""
        ...


@runtime_checkable
class Closing(Protocol):
    """What a source or decoder may also be: something with connections or caches to close when the worker stops."""

    def close(self) -> None:
        """Give everything back."""
        ...
