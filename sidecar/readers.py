"""Opened images, kept for the next request and leased to one request at a time.

A reader serves one request at a time: libraries beneath keep state between calls (one glymur.Jp2k shared by four
threads gave wrong pixels in 30 of 140 reads, without an error). Idle readers are kept, least recently used first out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from sidecar.casualties import Casualties
from sidecar.errors import Unsupported
from sidecar.interfaces import Blob, Decoder, ImageReader
from sidecar.model import ImageInfo
from sidecar.native import Note
from sidecar.registry import Registry

_INFOS: Final = 16
"""Infos kept for each reader kept: they are small, and answer info.json, HEAD and plans without opening anything."""


class Readers:
    """The opened images of a worker. Belongs to one event loop."""

    def __init__(
        self, registry: Registry, keep: int, casualties: Casualties | None = None, note: Note = nullcontext
    ) -> None:
        """`note` is told of images while they are opened."""
        self._registry = registry
        self._keep = keep
        self._casualties = casualties or Casualties(None, 0)
        self._note = note
        self._idle: OrderedDict[int, tuple[str, ImageReader]] = OrderedDict()
        self._infos: OrderedDict[str, ImageInfo] = OrderedDict()
        self.leased = 0

    @property
    def idle(self) -> int:
        """How many opened images wait for a request."""
        return len(self._idle)

    def decoder(self, blob: Blob) -> Decoder:
        """Who decodes it, by the suffix of its name. Raises Unsupported."""
        suffix = blob.name.rpartition(".")[2].lower()
        decoder = self._registry.decoders.get(suffix)
        if decoder is None:
            raise Unsupported(f"no decoder for files named .{suffix}")
        return decoder

    def info(self, blob: Blob) -> ImageInfo:
        """What the image is; opens it where that is not known yet. Raises as Decoder.open."""
        known = self._infos.get(blob.etag)
        if known is not None:
            self._infos.move_to_end(blob.etag)
            return known
        with self.lease(blob) as reader:
            return reader.info

    @contextmanager
    def lease(self, blob: Blob) -> Iterator[ImageReader]:
        """A reader for one request alone. Raises as Decoder.open, and Casualty."""
        self._casualties.check(blob.etag)
        reader = self._take(blob.etag) or self._open(blob)
        self.leased += 1
        try:
            self._remember(blob.etag, reader.info)
            yield reader
        except BaseException:
            # Whatever went wrong, the next request gets a fresh one.
            self.leased -= 1
            reader.close()
            raise
        self.leased -= 1
        self._put(blob.etag, reader)

    def _open(self, blob: Blob) -> ImageReader:
        decoder = self.decoder(blob)
        with self._note(blob.etag):
            return decoder.open(blob)

    def close(self) -> None:
        """Close all idle readers."""
        self._shrink(0)

    def _take(self, etag: str) -> ImageReader | None:
        for key in reversed(self._idle):
            if self._idle[key][0] == etag:
                return self._idle.pop(key)[1]
        return None

    def _put(self, etag: str, reader: ImageReader) -> None:
        self._idle[id(reader)] = (etag, reader)
        self._shrink(self._keep)

    def _shrink(self, keep: int) -> None:
        while len(self._idle) > keep:
            self._idle.popitem(last=False)[1][1].close()

    def _remember(self, etag: str, info: ImageInfo) -> None:
        self._infos[etag] = info
        self._infos.move_to_end(etag)
        while len(self._infos) > self._keep * _INFOS:
            self._infos.popitem(last=False)
