"""What was read of packet headers, kept with the packet index: shared by windows and levels, within a limit."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TypeAlias

from sidecar.plugin import thread_lock

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20
"""An image of 80 MP takes half a megabyte if all of its packets are read; a window only some of them."""
ENTRY_BYTES = 230
"""The memory of a precinct beside its bytes: a key, a dict entry, an object."""

Key: TypeAlias = tuple[int, int]
"""The tile, and the number of the precinct's first packet in it."""


class BlockStore:
    """The code blocks of the precincts of one image, as `PrecinctBlocks.to_bytes` writes them; for any thread."""

    def __init__(self, name: str = "", limit: int = MAX_BYTES) -> None:
        """`name` is for messages; at most `limit` bytes are kept, and the precincts read first make room."""
        self._name = name
        self._limit = limit
        self._lock = thread_lock()
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self.nbytes = 0
        """The approximate memory in bytes."""
        self.unreadable = 0
        """How many windows had a packet header that could not be read."""

    def get(self, key: Key) -> bytes | None:
        """Return what is kept of a precinct."""
        return self._kept.get(key)

    def put(self, key: Key, record: bytes) -> None:
        """Keep what was read of a precinct."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = record
            self.nbytes += len(record) + ENTRY_BYTES
            while self.nbytes > self._limit:
                _, dropped = self._kept.popitem(last=False)
                self.nbytes -= len(dropped) + ENTRY_BYTES

    def refuse(self, reason: str) -> None:
        """Count a window with a packet header that cannot be read. No header of the image is read from then on."""
        with self._lock:
            self.unreadable += 1
        if self.unreadable == 1:
            log.warning("%s: packet headers are left as they are: %s", self._name, reason)
