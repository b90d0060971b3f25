"""Reads ranges of remote objects: from kept blocks, from blocks already on their way, and from new fetches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Final, TypeAlias, cast

import gevent

from sidecar.observability.counted import CountedCache
from sidecar.observability.metrics import FETCHED
from sidecar.plugin import Buffer, ByteRange, RemoteSettings
from sidecar.remote import block_layout
from sidecar.remote.blob import ObjectVersion
from sidecar.remote.block_cache import BlockCache
from sidecar.remote.retry import RetryPolicy
from sidecar.remote.single_flight import Publish, SingleFlight
from sidecar.remote.transport import Transport

_BLOCKS: Final = CountedCache("blocks", "blocks of remote objects (`SIDECAR_S3_CACHE_BYTES` and the like)")
Block: TypeAlias = tuple[str, int]
"""A blob's etag and the number of a block of it."""


class BlockReader:
    """The blocks of one origin's objects, shared by all requests of the worker."""

    def __init__(self, transport: Transport, retry: RetryPolicy, settings: RemoteSettings) -> None:
        self._transport = transport
        self._retry = retry
        self._block = settings.block_bytes
        self._gap = settings.max_gap_bytes // settings.block_bytes
        self._longest = max(1, settings.max_request_bytes // settings.block_bytes)
        self._cache: BlockCache[Block] = BlockCache(settings.cache_bytes)
        self._flights: SingleFlight[Block, bytes] = SingleFlight()

    def read(self, identity: ObjectVersion, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range, which lie within the object. Raises SourceError."""
        wanted = [(identity.etag, number) for number in block_layout.numbers(ranges, self._block)]
        kept = [(block[1], self._cache.get(block)) for block in wanted]
        found = {number: data for number, data in kept if data is not None}
        missing = [block for block in wanted if block[1] not in found]
        _BLOCKS.looked_up(hits=len(found), misses=len(missing))
        self._start(identity, [block[1] for block in missing if not self._flights.find(block)])
        coming = [(block[1], self._flights.find(block)) for block in missing]
        found |= {number: cast("bytes", flight.get()) for number, flight in coming if flight}
        return [block_layout.cut(wanted, self._block, found) for wanted in ranges]

    def keep(self, identity: ObjectVersion, head: bytes) -> None:
        """Keep the whole blocks among the first bytes of an object."""
        size = identity.version.size
        for start in range(0, len(head), self._block):
            block = head[start : start + self._block]
            if len(block) == self._block or start + len(block) == size:
                self._cache.put((identity.etag, start // self._block), block)

    def close(self) -> None:
        """Cancel all fetches; keep nothing."""
        self._flights.close()
        self._cache.clear()

    def _start(self, identity: ObjectVersion, missing: Sequence[int]) -> None:
        for span in block_layout.spans(missing, self._gap, self._longest):
            self._flights.start(
                [(identity.etag, number) for number in span], partial(self._fetch, identity, deque(span))
            )

    def _fetch(self, identity: ObjectVersion, left: deque[int], publish: Publish[Block, bytes]) -> None:
        """Fetch a run of blocks; a further attempt continues after the last block that came."""

        def attempt() -> None:
            wanted = block_layout.extent(range(left[0], left[-1] + 1), self._block, identity.version.size)
            with closing(self._transport.fetch(identity.key, identity.version, wanted, self._block)) as pieces:
                for data in pieces:
                    FETCHED.labels(self._retry.name).inc(len(data))
                    block = (identity.etag, left.popleft())
                    self._cache.put(block, data)
                    publish(block, data)
                    gevent.sleep(0)  # bytes that are already here would keep the event loop from others

        self._retry.run(attempt)
