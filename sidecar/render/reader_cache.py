"""Opened images, shared by all requests for them and kept for the next ones.

An image is opened once, however many requests ask for it. A reader that fails is not given to later requests; it is
closed when the last request that uses it ends. Idle readers are kept, within a number and within bytes; the least
recently used are closed first. What could not be opened is remembered for a short time, so that requests for it cost
nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Final
from weakref import WeakValueDictionary

from cachetools import TTLCache
from gevent import GreenletExit
from gevent.lock import BoundedSemaphore

from sidecar.errors import (
    ClientGone,
    DecodeError,
    EncodeError,
    Malformed,
    NotFound,
    Overloaded,
    SidecarError,
    TooLarge,
    Unsupported,
)
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import Note
from sidecar.observability.counted import CountedCache
from sidecar.observability.work import CURRENT
from sidecar.plugin import (
    Blob,
    Buffer,
    Describes,
    HasProperties,
    HoldsBytes,
    ImageInfo,
    ImageReader,
    Pixels,
    SupportsGathering,
    SupportsThreads,
    SupportsTolerance,
    Window,
    thread_lock,
)
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.held_bytes import HeldBytes
from sidecar.render.info_cache import InfoCache
from sidecar.render.plugin_calls import plugin_call

_READERS: Final = CountedCache("readers", "opened images (`SIDECAR_READER_CACHE_SIZE`)")
_INFOS: Final = CountedCache("infos", "what is known of images without opening them (`SIDECAR_READER_CACHE_BYTES`)")
_FAILED: Final = CountedCache(
    "failures", "images that could not be opened a moment ago; looked up only if the image is not open"
)
_READER_BYTES: Final = 8192
"""What a reader holds that does not say."""
_FAILURES: Final = 1024
"""Images that could not be opened, remembered at once."""
_FAILURE_SECONDS: Final = 10.0
"""For so long. What is wrong with an image stays while its etag does, but a decoder may fail for another reason."""
_FAILURE_KINDS: Final[tuple[type[SidecarError], ...]] = (Malformed, DecodeError, NotFound, Unsupported)
"""Errors that depend on the content alone."""
_NOT_THE_READERS: Final = (ClientGone, EncodeError, Overloaded, TooLarge, GreenletExit)
"""Errors of a request after which its reader is as good as before; the last is what ends the work for clients that have
left (`joint_response`)."""


@dataclass(frozen=True)
class OpenImage:
    """A reader as requests use it. Its powers are looked up once: that takes longer than any request should."""

    reader: ImageReader[Any]
    decoder: str
    """The decoder's name, for logs and metrics."""
    describing: Describes[Any] | None = None
    """What describes the image, if the reader does."""
    stating: HasProperties | None = None
    """What states properties of the file, if the reader does."""

    @cached_property
    def tolerant(self) -> SupportsTolerance[Any] | None:
        """The reader, if it makes use of tolerances."""
        return self.reader if isinstance(self.reader, SupportsTolerance) else None

    @cached_property
    def gathering(self) -> SupportsGathering | None:
        """The reader, if it says which windows to decode together."""
        return self.reader if isinstance(self.reader, SupportsGathering) else None

    @cached_property
    def holding(self) -> HoldsBytes | None:
        """The reader, if it says how much memory it holds."""
        return self.reader if isinstance(self.reader, HoldsBytes) else None


@dataclass(eq=False, slots=True)
class _Entry:
    """A reader and the requests that use it."""

    image: OpenImage
    users: int = 0
    kept: bool = True
    """Whether later requests may have it."""
    nbytes: int = 0
    """The bytes that it held when the last request left it, beside the profile of its info, which others may share."""

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of its info."""
        return self.image.reader.info.icc


class ReaderCache:
    """The opened images of a worker. Belongs to one event loop."""

    def __init__(
        self,
        decoders: DecoderChoice,
        keep: int,
        quarantine: Quarantine | None = None,
        note: Note = nullcontext,
        *,
        limit: int = 32 * 2**20,
    ) -> None:
        """Keep idle readers, `keep` of them and half of `limit` bytes at most; infos take the other half.

        `note` records images while they are opened.
        """
        self._decoders = decoders
        self._keep = keep
        self._quarantine = quarantine or Quarantine()
        self._note = note
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """The least recently used first."""
        self._replaced: set[_Entry] = set()
        """In use, and not given to later requests."""
        self.idle = 0
        """Opened images that no request uses."""
        self._held = HeldBytes()
        """What those hold."""
        self._opening: WeakValueDictionary[str, BoundedSemaphore] = WeakValueDictionary()
        self._limit = limit // 2
        self._infos = InfoCache(limit // 2)
        self._failures: TTLCache[str, SidecarError] = TTLCache(_FAILURES, _FAILURE_SECONDS, monotonic)

    @property
    def decoders(self) -> Sequence[str]:
        """The names of the decoders, in the order in which they are asked."""
        return self._decoders.names

    def asked(self, name: str) -> Sequence[str]:
        """Return the names of the decoders that may open a file of a name, in order."""
        return self._decoders.asked(name)

    def companions(self, blob: Blob) -> str:
        """Return the state of other files that belong to an image, see SpansFiles."""
        return self._decoders.companions(blob)

    @property
    def leased(self) -> int:
        """Opened images in use."""
        return len(self._entries) - self.idle + len(self._replaced)

    @property
    def learning(self) -> bool:
        """Whether a decoder is about to learn how to decode faster what was asked for."""
        return self._decoders.learning

    @property
    def nbytes(self) -> int:
        """The bytes of what is kept: infos, and readers that no request uses."""
        return self._infos.nbytes + self._held.total

    def info(self, blob: Blob) -> ImageInfo:
        """Return what the image is; opens it if that is not known yet. Raises as `lease`."""
        known = self._infos.get(blob.etag)
        _INFOS.looked_up(hits=known is not None, misses=known is None)
        if known is not None:
            return known
        with self.lease(blob) as image:
            return image.reader.info

    @contextmanager
    def lease(self, blob: Blob) -> Iterator[OpenImage]:
        """Use the reader of an image. Raises as DecoderChoice.open, and Quarantined."""
        self._quarantine.check(blob.etag)
        entry = self._join(blob)
        if work := CURRENT.get():
            work.decoder = entry.image.decoder
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
        self._shrink(0, 0)

    def _join(self, blob: Blob) -> _Entry:
        # The first opens, the others wait and find it; if it fails, the next one tries.
        turn = self._opening.get(blob.etag) or self._opening.setdefault(blob.etag, BoundedSemaphore(1))
        with turn:
            entry = self._entries.get(blob.etag)
            _READERS.looked_up(hits=entry is not None, misses=entry is None)
            if entry is None:
                entry, info = self._open_or_recall(blob)
                self._infos.put(blob.etag, info)
                self._entries[blob.etag] = entry
            elif not entry.users:
                self._wake(entry)
            entry.users += 1
            self._entries.move_to_end(blob.etag)
            return entry

    def _open_or_recall(self, blob: Blob) -> tuple[_Entry, ImageInfo]:
        failure = self._failures.get(blob.etag)
        _FAILED.looked_up(hits=failure is not None, misses=failure is None)
        if failure:
            raise _copy(failure)
        try:
            return self._open(blob)
        except _FAILURE_KINDS as error:
            self._failures[blob.etag] = _copy(error)
            raise

    def _open(self, blob: Blob) -> tuple[_Entry, ImageInfo]:
        with self._note(blob.etag):
            decoder, reader = self._decoders.open(blob)
        with ExitStack() as unless_known:
            unless_known.callback(reader.close)
            with plugin_call(decoder.name, blob.name):
                info = reader.info
            unless_known.pop_all()
        shared = reader if isinstance(reader, SupportsThreads) else OneAtATime(reader)
        describing = reader if isinstance(reader, Describes) else None
        stating = reader if isinstance(reader, HasProperties) else None
        return _Entry(OpenImage(shared, decoder.name, describing, stating)), info

    def _drop(self, etag: str, entry: _Entry) -> None:
        if entry.kept:
            entry.kept = False
            del self._entries[etag]
            self._replaced.add(entry)

    def _leave(self, entry: _Entry) -> None:
        entry.users -= 1
        if entry.users:
            return
        if entry.kept:
            self._rest(entry)
            self._shrink(self._keep, self._limit)
        else:
            self._replaced.discard(entry)
            entry.image.reader.close()

    def _shrink(self, keep: int, limit: int) -> None:
        """Close idle readers, the least recently used first, until no more are left than may be."""
        while self.idle > keep or self._held.total > limit:
            etag, entry = next((etag, entry) for etag, entry in self._entries.items() if not entry.users)
            del self._entries[etag]
            self._wake(entry)
            entry.image.reader.close()

    def _rest(self, entry: _Entry) -> None:
        """Count an entry as idle."""
        holding = entry.image.holding
        entry.nbytes = holding.held_bytes if holding else _READER_BYTES
        self.idle += 1
        self._held.add(entry.nbytes, entry.profile)

    def _wake(self, entry: _Entry) -> None:
        """Count an entry as idle no more."""
        self.idle -= 1
        self._held.remove(entry.nbytes, entry.profile)


def _copy(error: SidecarError) -> SidecarError:
    """Return an error that says the same, without the frames that the other was raised in."""
    kind = next(kind for kind in _FAILURE_KINDS if isinstance(error, kind))
    return kind(str(error))


class OneAtATime:
    """A reader whose library reads in one thread at a time: other native threads wait for their turn."""

    def __init__(self, reader: ImageReader[Any]) -> None:
        self._reader = reader
        self._lock = thread_lock()
        self.window = reader.window
        self.close = reader.close
        self.held_bytes = reader.held_bytes if isinstance(reader, HoldsBytes) else _READER_BYTES

    @property
    def info(self) -> ImageInfo:
        return self._reader.info

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        with self._lock:
            self._reader.read(window, data, into)
