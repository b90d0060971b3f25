"""Opened images, shared by all requests for them and kept for the next ones.

An image is opened once, however many requests ask for it. A reader that fails is not given to later requests; it is
closed when the last request that uses it ends. Idle readers are kept, the least recently used are closed first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

from cachetools import LRUCache
from gevent.lock import BoundedSemaphore

from sidecar.errors import ClientGone, EncodeError, Overloaded, TooLarge
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import Note
from sidecar.plugin import Blob, Buffer, ImageInfo, ImageReader, Pixels, SupportsThreads, Window, thread_lock
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.plugin_calls import plugin_call

_INFOS: Final = 16
"""Infos kept for each reader kept: they are small, and answer info.json, HEAD and plans without opening anything."""
_NOT_THE_READERS: Final = (ClientGone, EncodeError, Overloaded, TooLarge)
"""Errors of a request after which its reader is as good as before."""


@dataclass(frozen=True, slots=True)
class OpenImage:
    """A reader as a request uses it."""

    reader: ImageReader[Any]
    decoder: str
    """The decoder's name, for logs and metrics."""


@dataclass(eq=False, slots=True)
class _Entry:
    """A reader and the requests that use it."""

    image: OpenImage
    users: int = 0
    kept: bool = True
    """Whether later requests may have it."""


class ReaderCache:
    """The opened images of a worker. Belongs to one event loop."""

    def __init__(
        self, decoders: DecoderChoice, keep: int, quarantine: Quarantine | None = None, note: Note = nullcontext
    ) -> None:
        """`keep`: idle readers; `note` records images while they are opened."""
        self._decoders = decoders
        self._keep = keep
        self._quarantine = quarantine or Quarantine()
        self._note = note
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._replaced: set[_Entry] = set()
        """In use, and not given to later requests."""
        self._opening: WeakValueDictionary[str, BoundedSemaphore] = WeakValueDictionary()
        self._infos: LRUCache[str, ImageInfo] = LRUCache(keep * _INFOS)

    @property
    def leased(self) -> int:
        """Opened images in use."""
        return sum(entry.users > 0 for entry in self._entries.values()) + len(self._replaced)

    @property
    def idle(self) -> int:
        """Opened images that no request uses."""
        return sum(not entry.users for entry in self._entries.values())

    def info(self, blob: Blob) -> ImageInfo:
        """Return what the image is; opens it if that is not known yet. Raises as `lease`."""
        known = self._infos.get(blob.etag)
        if known is not None:
            return known
        with self.lease(blob) as image:
            return image.reader.info

    @contextmanager
    def lease(self, blob: Blob) -> Iterator[OpenImage]:
        """Use the reader of an image. Raises as DecoderChoice.open, and Quarantined."""
        self._quarantine.check(blob.etag)
        entry = self._entry(blob)
        entry.users += 1
        try:
            yield entry.image
        except _NOT_THE_READERS:
            raise
        except BaseException:
            # Whatever went wrong, later requests get a fresh one.
            self._drop(blob.etag, entry)
            raise
        finally:
            self._leave(entry)

    def close(self) -> None:
        """Close all idle readers."""
        self._shrink(0)

    def _entry(self, blob: Blob) -> _Entry:
        # The first opens, the others wait and find it; if it fails, the next one tries.
        turn = self._opening.get(blob.etag) or self._opening.setdefault(blob.etag, BoundedSemaphore(1))
        with turn:
            entry = self._entries.get(blob.etag)
            if entry is None:
                entry, self._infos[blob.etag] = self._open(blob)
                self._entries[blob.etag] = entry
            self._entries.move_to_end(blob.etag)
            return entry

    def _open(self, blob: Blob) -> tuple[_Entry, ImageInfo]:
        with self._note(blob.etag):
            decoder, reader = self._decoders.open(blob)
        with ExitStack() as unless_known:
            unless_known.callback(reader.close)
            with plugin_call(decoder.name, blob.name):
                info = reader.info
            unless_known.pop_all()
        shared = reader if isinstance(reader, SupportsThreads) else OneAtATime(reader)
        return _Entry(OpenImage(shared, decoder.name)), info

    def _drop(self, etag: str, entry: _Entry) -> None:
        if entry.kept:
            entry.kept = False
            del self._entries[etag]
            self._replaced.add(entry)

    def _leave(self, entry: _Entry) -> None:
        entry.users -= 1
        if not entry.users and not entry.kept:
            self._replaced.discard(entry)
            entry.image.reader.close()
        self._shrink(self._keep)

    def _shrink(self, keep: int) -> None:
        surplus = self.idle - keep
        for etag in [etag for etag, entry in self._entries.items() if not entry.users][: max(0, surplus)]:
            self._entries.pop(etag).image.reader.close()


class OneAtATime:
    """A reader whose library reads in one thread at a time: other native threads wait for their turn."""

    def __init__(self, reader: ImageReader[Any]) -> None:
        self._reader = reader
        self._lock = thread_lock()
        self.window = reader.window
        self.close = reader.close

    @property
    def info(self) -> ImageInfo:
        return self._reader.info

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        with self._lock:
            self._reader.read(window, data, into)
