"""What was read of packet headers, kept with the packet index: shared by windows and levels, within a limit."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final, NamedTuple, TypeAlias

from sidecar.plugin import CountedCache, thread_lock

log = logging.getLogger(__name__)

PRECINCTS: Final = CountedCache("jp2_precincts", "packet headers that were read or written anew, kept with the indexes")
MAX_BYTES = 8 * 2**20
"""An image of 80 MP takes half a megabyte if all of its packets are read; a window only some of them."""
ENTRY_BYTES = 230
"""The memory of a precinct beside its bytes: a key, a dict entry, an object."""
LAYER_BYTES, SPAN_BYTES = 200, 160
"""The memory of what is kept of a layer beside its header, and of each run of bytes."""


class PrecinctKey(NamedTuple):
    """A precinct, and what is left out of it."""

    tile: int
    packet: int
    """The number of the precinct's first packet in the tile."""
    layers: int
    """How many of its packets are known."""
    dropped: tuple[int, ...] = ()
    """Bit planes left out of each subband."""


class Rewritten(NamedTuple):
    """A packet whose header was written anew."""

    header: bytes
    """With EPH, if the codestream has it."""
    spans: tuple[tuple[int, int], ...]
    """Begin and end of each run of bytes of the original packet that follows."""


Record: TypeAlias = bytes | tuple[Rewritten, ...]
"""The code blocks of a precinct as `PrecinctBlocks.to_bytes` writes them, or its packets, one for each layer."""


class BlockStore:
    """The code blocks of the precincts of one image; for any thread."""

    def __init__(self, name: str = "", limit: int = MAX_BYTES) -> None:
        """`name` is for messages; at most `limit` bytes are kept, and the precincts read first make room."""
        self._name = name
        self._limit = limit
        self._lock = thread_lock()
        self._kept: OrderedDict[PrecinctKey, Record] = OrderedDict()
        self.nbytes = 0
        """The approximate memory in bytes."""
        self.unreadable = 0
        """How many windows had a packet header that could not be read."""

    def blocks(self, key: PrecinctKey) -> bytes | None:
        """Return what is kept of the code blocks of a precinct."""
        record = self._kept.get(key)
        return record if isinstance(record, bytes) else None

    def packets(self, key: PrecinctKey) -> tuple[Rewritten, ...] | None:
        """Return the packets that are kept of a precinct."""
        record = self._kept.get(key)
        return record if isinstance(record, tuple) else None

    def put(self, key: PrecinctKey, record: Record) -> None:
        """Keep what was read or written of a precinct."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = record
            self.nbytes += _size(record)
            while self.nbytes > self._limit:
                _, dropped = self._kept.popitem(last=False)
                self.nbytes -= _size(dropped)

    def refuse(self, reason: str) -> None:
        """Count a window with a packet header that cannot be read. No header of the image is read from then on."""
        with self._lock:
            self.unreadable += 1
        if self.unreadable == 1:
            log.warning("%s: packet headers are left as they are: %s", self._name, reason)


def _size(record: Record) -> int:
    if isinstance(record, bytes):
        return ENTRY_BYTES + len(record)
    return ENTRY_BYTES + sum(LAYER_BYTES + len(each.header) + SPAN_BYTES * len(each.spans) for each in record)
