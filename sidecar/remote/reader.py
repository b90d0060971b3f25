"""Reads ranges of far objects: from kept blocks, from blocks already on their way, and from new fetches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TypeAlias, cast

import gevent

from sidecar.model import Buffer, ByteRange
from sidecar.remote import blocks
from sidecar.remote.blob import Identity
from sidecar.remote.cache import BlockCache
from sidecar.remote.flights import Flights, Land
from sidecar.remote.origin import Origin
from sidecar.remote.settings import RemoteSettings
from sidecar.remote.transport import Transport

Block: TypeAlias = tuple[str, int]
"""A blob's etag and the number of a block of it."""


class BlockReader:
    """The blocks of one origin's objects, shared by all requests of the worker."""

    def __init__(self, transport: Transport, origin: Origin, settings: RemoteSettings) -> None:
        self._transport = transport
        self._origin = origin
        self._block = settings.block
        self._gap = settings.gap // settings.block
        self._longest = max(1, settings.span // settings.block)
        self._cache: BlockCache[Block] = BlockCache(settings.cache)
        self._flights: Flights[Block, bytes] = Flights()

    def read(self, identity: Identity, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range, which lie within the object. Raises SourceError."""
        wanted = [(identity.etag, number) for number in blocks.numbers(ranges, self._block)]
        kept = [(block[1], self._cache.get(block)) for block in wanted]
        found = {number: data for number, data in kept if data is not None}
        missing = [block for block in wanted if block[1] not in found]
        self._launch(identity, [block[1] for block in missing if not self._flights.find(block)])
        coming = [(block[1], self._flights.find(block)) for block in missing]
        found |= {number: cast("bytes", flight.get()) for number, flight in coming if flight}
        return [blocks.cut(wanted, self._block, found) for wanted in ranges]

    def keep(self, identity: Identity, head: bytes) -> None:
        """Keep the whole blocks among the first bytes of an object."""
        size = identity.version.size
        for start in range(0, len(head), self._block):
            block = head[start : start + self._block]
            if len(block) == self._block or start + len(block) == size:
                self._cache.put((identity.etag, start // self._block), block)

    def close(self) -> None:
        """Break off all fetches; keep nothing."""
        self._flights.close()
        self._cache.clear()

    def _launch(self, identity: Identity, missing: Sequence[int]) -> None:
        for span in blocks.spans(missing, self._gap, self._longest):
            self._flights.launch(
                [(identity.etag, number) for number in span], partial(self._fetch, identity, deque(span))
            )

    def _fetch(self, identity: Identity, left: deque[int], land: Land[Block, bytes]) -> None:
        """Fetch a run of blocks; a further attempt goes on where the last one failed."""

        def attempt() -> None:
            wanted = blocks.extent(range(left[0], left[-1] + 1), self._block, identity.version.size)
            with closing(self._transport.fetch(identity.key, identity.version, wanted, self._block)) as pieces:
                for data in pieces:
                    block = (identity.etag, left.popleft())
                    self._cache.put(block, data)
                    land(block, data)
                    gevent.sleep(0)  # bytes that are already here would keep the loop from all others

        self._origin.ask(attempt)
