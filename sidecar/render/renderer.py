"""From a plan to the chunks of a response: bands are decoded ahead while strips are scaled, encoded and sent.

Pulled by the socket: it asks `Body` for a chunk, which asks the encoder, which asks for a strip, which asks for a band.
Nothing is queued, so a slow client costs the bands in memory, and if others wait for that, nothing but the encoder.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial

from sidecar.limits.admission import Admission
from sidecar.limits.cpu_share import CpuShare
from sidecar.limits.release import UninterruptibleStack
from sidecar.limits.threads import Calls, NativePool
from sidecar.plugin import Blob, EncoderFactory
from sidecar.render.bands import Bands
from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.fetch import Fetcher
from sidecar.render.gathered_band import GatheredBand, is_gathered
from sidecar.render.gathering import Gatherer
from sidecar.render.plan import Plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.reader_cache import OpenImage, ReaderCache
from sidecar.render.stored_tile import passed_on, stored_tile
from sidecar.render.strips import Source, Strips, encode


@dataclass(frozen=True)
class Renderer:
    """What responses are made with; one a worker."""

    readers: ReaderCache
    admission: Admission
    pool: NativePool
    """For small responses and for strips."""
    bulk: NativePool
    """For the bands of large responses, and pictures encoded at once: it gives way to `pool`."""
    cpu_share: CpuShare = field(default_factory=CpuShare)
    fetcher: Fetcher = field(default_factory=Fetcher)
    gatherer: Gatherer | None = None
    """Decodes the windows of small responses; None: each is decoded for itself."""

    @property
    def pools(self) -> frozenset[NativePool]:
        """All in which native calls may be under way."""
        return frozenset({self.pool, self.bulk, self.pool.background})

    @property
    def lost(self) -> int:
        """Native threads that count as lost."""
        return sum(pool.lost for pool in self.pools)

    def start(self, plan: Plan, blob: Blob, factory: EncoderFactory, client: Client) -> Body:
        """Begin a response and make its first chunk, so that an early failure still has a status.

        `client.check_alive` is called while the permit is waited for, once it is granted, and before each further
        chunk; `client.granted` once it is granted. Raises what fetching, decoding and encoding raise.
        """
        owned = UninterruptibleStack()
        # Left first, so that native calls that do not return keep the memory that they use, and nothing else.
        computing = owned.enter_context(ExitStack())
        try:
            permit = self.admission.take(
                plan.peak_bytes, large=plan.large, client=client.name, check_alive=client.check_alive
            )
            if plan.large:
                computing.enter_context(self.cpu_share.used())
            place = owned.enter_context(permit)
            computing.callback(place.leave)
            client.check_alive()
            client.granted()
            image = owned.enter_context(self.readers.lease(blob))
            if tile := stored_tile(plan, blob, image, factory):
                owned.callback(computing.close)
                body = Body(passed_on(tile, blob, image, self.fetcher), iter(()), owned, place, client.check_alive)
                body.details["stored"] = True
                return body
            reading = owned.enter_context(closing(Calls(self.bulk if plan.large else self.pool, blob.etag)))
            writing = owned.enter_context(closing(Calls(self.bulk if plan.encoded_at_once else self.pool, blob.etag)))
            details: dict[str, str | int] = {"stored": False}
            begin = partial(self._bands, plan, blob, image, reading, client.name, details)
            parts = owned.enter_context(closing(Strips(plan, begin)))
            place.pausable(plan.rest_bytes, partial(_pause, parts, reading))
            owned.callback(computing.close)
            with plugin_call(factory.format, blob.name):
                encoder = factory.start(plan.frame)
            chunks = encode(plan, parts, encoder, writing, blob.name, factory.format)
            body = Body(next(chunks), chunks, owned, place, client.check_alive)
        except BaseException as error:
            owned.__exit__(type(error), error, error.__traceback__)
            raise
        body.details |= details
        return body

    def _bands(
        self,
        plan: Plan,
        blob: Blob,
        image: OpenImage,
        reading: Calls,
        client: str,
        details: dict[str, str | int],
        first: int,
    ) -> Source:
        if self.gatherer is not None and is_gathered(plan, image):
            return GatheredBand(plan, blob, image, self.gatherer, client, details)
        return Bands(plan, blob, image, reading, self.fetcher, first=first)


def _pause(parts: Strips, reading: Calls) -> bool:
    """Pause a response unless a native call is under way for it; return whether it is."""
    if not reading.idle:
        return False
    parts.pause()
    return True
