"""Windows of small requests, decoded as soon as a processor is free: meanwhile neighbours are gathered.

Nobody waits for company: as long as fewer decodes are under way than there are processors, each begins at once, alone.
Whoever waits for a processor takes its neighbours along when it is its turn, whoever asked for them (`neighbours`). A
window that lies in one that is being decoded, or has just been, is cut out of that. Each has its memory already, by its
permit, and what is decoded for several takes no more than they have. Who leaves withdraws only itself.

What cannot be decoded together is decoded alone: damage in one window must not show in its neighbours.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from heapq import nsmallest
from time import perf_counter_ns
from typing import Final, cast

import gevent

from sidecar.errors import DecodeError, Overloaded, PluginFailure, Stalled, Unsupported
from sidecar.limits.cpu_share import CpuShare
from sidecar.limits.outcome import Outcome, repeater
from sidecar.limits.threads import NativePool
from sidecar.observability.metrics import ASKED, DECODED, DECODED_BEFORE, GATHERED
from sidecar.observability.tracing import anchor, link, span, spent
from sidecar.observability.work import CURRENT
from sidecar.plugin import Pixels, Rect
from sidecar.render.decoded_cache import DecodedCache, cut
from sidecar.render.fetch import Fetcher, Link
from sidecar.render.neighbours import Bounds, gather
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.shared_decode import Coded, Decode, Ending, Member, Wanted, read
from sidecar.render.waiting import Waiting
from sidecar.render.windows import window_of

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether a processor can still be expected to come free."""
_FEW: Final = 3
"""So many are decoded together even if other processors come free soon: that saves more than it delays."""
_NEAREST: Final = 64
"""So many are looked at: more than a viewport has. Looking at all that may wait would hold up the event loop."""
_OF_ONE_WINDOW: Final = (DecodeError, PluginFailure, Overloaded, Unsupported)
"""Errors that a window may have alone, while its neighbours have none."""


class Gatherer:
    """Decodes the windows of small requests. Belongs to one event loop."""

    def __init__(
        self,
        pool: NativePool,
        fetcher: Fetcher,
        cpu_share: CpuShare,
        cache: DecodedCache,
        pixels: int,
    ) -> None:
        """`cpu_share`: of the decodes of small responses; `pixels`: the most that is decoded for several at once."""
        self._pool, self._fetcher, self._cpu_share, self._cache, self._pixels = pool, fetcher, cpu_share, cache, pixels
        self._waiting: Waiting[Member] = Waiting()
        self._under_way: list[Decode] = []
        """Those that may be joined."""
        self._busy = 0
        """Processors that decodes use, or are about to."""
        self._free = 0
        """Those of them for which nothing is chosen yet."""

    def fetch(self, wanted: Wanted) -> Wanted:
        """Fetch a window that is far away before a processor is waited for. Raises what fetching raises."""
        local = wanted.blob.path is not None
        return wanted if local or self._finds(wanted) else replace(wanted, coded=self._coded(wanted, wanted.region))

    def want(self, wanted: Wanted) -> Ticket:
        """Take a request's turn; the ticket waits for its pixels."""
        if (found := self._cache.find(wanted.key, wanted.region)) is not None:
            DECODED_BEFORE.inc()
            link(CURRENT.get(), found.anchor, "decode")
            return Ticket(self, None, found.pixels)
        member = Member(wanted)
        if (decode := self._decode_with(wanted)) is not None:
            DECODED_BEFORE.inc()
            decode.join(member)
            return Ticket(self, member)
        self._waiting.join(member)
        self.start()
        return Ticket(self, member)

    @property
    def stalled(self) -> bool:
        """Whether no processor can be expected to come free soon."""
        return self._pool.stalled

    def start(self) -> None:
        """Begin what processors are free for."""
        while len(self._waiting) > self._free:
            self._cpu_share.begin()
            if self._busy >= min(self._cpu_share.share(), self._pool.threads) + self._pool.lost:
                self._cpu_share.end()
                return
            self._busy += 1
            self._free += 1
            # Requests that have arrived together are all here when it runs.
            gevent.spawn(self._run)

    def withdraw(self, member: Member) -> None:
        """Decode nothing for a request any more."""
        self._waiting.leave(member)
        decode = member.decode
        if decode is None or member not in decode.members:
            return
        decode.members.remove(member)
        if not decode.members and decode in self._under_way:
            self._under_way.remove(decode)
            if decode.greenlet is not None:
                decode.greenlet.kill(block=False)

    def _finds(self, wanted: Wanted) -> bool:
        return self._decode_with(wanted) is not None or self._cache.find(wanted.key, wanted.region) is not None

    def _decode_with(self, wanted: Wanted) -> Decode | None:
        """Return the decode under way that a window lies in."""
        return next(
            (each for each in self._under_way if each.wanted.key == wanted.key and each.region.holds(wanted.region)),
            None,
        )

    def _choose(self) -> Decode:
        """Choose what to decode next, on a processor that is free."""
        first = self._waiting.next()
        wanted, reader = first.wanted, first.wanted.image.gathering
        found, members = first.region, [first]
        if self._waiting and not first.alone and reader is not None:
            near = [each for each in self._waiting if each.wanted.key == wanted.key and not each.alone]
            nearest = nsmallest(_NEAREST, (each.region for each in near), lambda each: found.hull(each).size.area)
            most = self._most(len(near) + 1)
            info = wanted.image.reader.info
            bounds = Bounds(info.levels[wanted.level], info.channels, self._pixels, most)
            with suppress(PluginFailure), plugin_call(wanted.image.decoder, wanted.blob.name):
                found = gather(first.region, wanted.level, nearest, reader, bounds).hull
            members += [each for each in near if found.holds(each.region)]
        for member in members:
            if member.region != found:
                # Bytes of its own are not needed, and would be held beside those of all.
                member.wanted = replace(member.wanted, coded=None)
        decode = Decode.begun(first, found)
        for member in members:
            self._waiting.leave(member)
            decode.join(member)
            spent("wait", member.work, member.since)
        self._under_way.append(decode)
        return decode

    def _most(self, waiting: int) -> int:
        """Return how many of those that wait for an image are decoded together at most, so that no processor idles."""
        if self._free:  # processors that wait for work this very moment
            return -(-waiting // (self._free + 1))
        return max(_FEW, -(-waiting // min(self._cpu_share.share(), self._pool.threads)))

    def _run(self) -> None:
        """Decode something on a processor that is free."""
        self._free -= 1
        if self._waiting:
            self._serve(self._choose())
        else:
            self._end()

    def _serve(self, decode: Decode) -> None:
        """Decode, and give each member the result."""
        made: Outcome[Pixels]
        ending = Ending(partial(self._end, decode))
        decode.greenlet = gevent.getcurrent()
        try:
            made = partial(_itself, decode.context.run(self._decode, decode, ending))
        except gevent.GreenletExit:
            return
        except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
            made = repeater(error)
            if isinstance(error, _OF_ONE_WINDOW):
                for member in decode.separate():
                    self._waiting.join(member)
        finally:
            decode.greenlet = None
            if decode in self._under_way:
                self._under_way.remove(decode)
            ending.unless_native()
        decode.settle(made)
        self.start()

    def _decode(self, decode: Decode, ending: Ending) -> Pixels:
        wanted, region = decode.wanted, decode.region
        alone = region == wanted.region
        coded = (wanted.coded if alone else None) or self._coded(wanted, region)
        began = perf_counter_ns()
        pending = self._pool.spawn_for(wanted.blob.etag, read, wanted, region, coded)
        ending.with_native(pending.then)
        pixels = pending.get()
        made_here = anchor("decode", began)
        decode.share_time(began, made_here)
        self._count(decode)
        self._cache.put(wanted.key, region, pixels, made_here)
        return pixels

    def _coded(self, wanted: Wanted, region: Rect) -> Coded:
        with span("index", wanted.image.decoder), plugin_call(wanted.image.decoder, wanted.blob.name):
            window = window_of(wanted.image, wanted.level, region, wanted.tolerance)
        if not window.ranges:
            return Coded(window)
        fetched, data = self._fetcher.read(wanted.blob, window.ranges, Link())
        return Coded(window, data, fetched)

    @staticmethod
    def _count(decode: Decode) -> None:
        GATHERED.observe(len(decode.members))
        ASKED.inc(sum(region.size.area for region in {member.region for member in decode.members}))
        DECODED.inc(decode.region.size.area)

    def _end(self, decode: Decode | None = None) -> None:
        if decode is not None:
            decode.ended.set()
        self._busy -= 1
        self._cpu_share.end()
        self.start()


class Ticket:
    """A request's place at a gatherer."""

    def __init__(self, gatherer: Gatherer, member: Member | None, found: Pixels | None = None) -> None:
        self._gatherer, self._member, self._found = gatherer, member, found

    @property
    def details(self) -> dict[str, str | int]:
        """How it was decoded, for the log."""
        decode = self._member.decode if self._member else None
        return {"decoded_for": decode.served if decode else 0}

    def get(self) -> Pixels:
        """Wait for the pixels; nobody may change them. Raises what fetching and decoding raise, and Stalled."""
        member = self._member
        if self._found is not None or member is None:
            return cast("Pixels", self._found)
        while not member.result.wait(_LOOK_EVERY) and not member.result.ready():
            self._gatherer.start()  # threads may have been lost
            if member.decode is None and self._gatherer.stalled:
                raise Stalled("native calls have not returned for a while; try again later")
        pixels = cast("Outcome[Pixels]", member.result.get())()
        return cut(pixels, cast("Decode", member.decode).region, member.region)

    def close(self) -> None:
        """Give it up; waits until no native call uses what the request has."""
        if self._member is not None:
            self._gatherer.withdraw(self._member)
            if self._member.decode is not None:
                self._member.decode.ended.wait()


def _itself(pixels: Pixels) -> Pixels:
    return pixels
