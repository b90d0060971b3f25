"""A window that is decoded for several requests, and what each of them wants of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np
from gevent.event import AsyncResult, Event

from sidecar.limits.outcome import Outcome
from sidecar.observability.tracing import link, span
from sidecar.observability.work import CURRENT, Note, Work
from sidecar.plugin import EXACT, Blob, Buffer, Pixels, Rect, Tolerance, Window
from sidecar.render.decoded_cache import Key
from sidecar.render.fetch import Fetched
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.reader_cache import OpenImage


class Coded(NamedTuple):
    """A window, and the bytes that it is decoded from."""

    window: Window
    data: Sequence[Buffer] = ()
    fetched: Fetched | None = None
    """Keeps the bytes shared with other windows that want the same."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants decoded."""

    blob: Blob
    image: OpenImage
    level: int
    region: Rect
    client: str = ""
    tolerance: Tolerance = EXACT
    """What hides errors of the pixels."""
    coded: Coded | None = None
    """Its window, if that is at hand."""

    @property
    def key(self) -> Key:
        """What it must have in common with what it is decoded with."""
        return self.blob.etag, self.level, self.tolerance


@dataclass(eq=False, slots=True)
class Member:
    """A request that waits for its pixels."""

    wanted: Wanted
    since: int = field(default_factory=perf_counter_ns)
    context: Context = field(default_factory=copy_context)
    """The request's."""
    work: Work | None = field(default_factory=CURRENT.get)
    alone: bool = False
    """Whether it must be decoded alone."""
    decode: Decode | None = None
    result: AsyncResult[Outcome[Pixels]] = field(default_factory=AsyncResult)

    @property
    def client(self) -> str:
        return self.wanted.client

    @property
    def region(self) -> Rect:
        return self.wanted.region


@dataclass(eq=False, slots=True)
class Decode:
    """A window being decoded, and those that want something of it."""

    # Not the first of them: members lead here, and pixels would be kept until the collector runs.
    wanted: Wanted
    """What the first of them wants."""
    context: Context
    """The first one's."""
    work: Work | None
    """The first one's."""
    region: Rect
    members: list[Member]
    ended: Event = field(default_factory=Event)
    """Set when no native call uses the reader or the pixels any more."""
    greenlet: Any = None
    """What works for it, once it has begun to."""
    served: int = 0
    """Members that got their pixels."""

    @classmethod
    def begun(cls, first: Member, region: Rect) -> Decode:
        """Return one that nobody has joined yet, in the turn of `first`."""
        return cls(first.wanted, first.context, first.work, region, [])

    def join(self, member: Member) -> None:
        """Add one that wants something of it."""
        self.members.append(member)
        member.decode = self

    def share_time(self, began: int, anchor: object) -> None:
        """Note for all but the first, who has it already, that they have been decoded since a moment.

        `anchor` leads to the first's trace.
        """
        ended = perf_counter_ns()
        for member in self.members:
            if member.work is not None and member.work is not self.work:
                member.work.add("decode", max(began, member.since), ended, noted(member.region))
                link(member.work, anchor, "decode")

    def settle(self, made: Outcome[Pixels]) -> None:
        """Give all members what came of it."""
        # Members lead here: that they are let go leaves no cycle.
        members, self.members = self.members, []
        self.served = len(members)
        for member in members:
            member.result.set(made)

    def separate(self) -> list[Member]:
        """Let go of those that want less than all of it; each has to be decoded alone."""
        separate = [member for member in self.members if member.region != self.region]
        self.members = [member for member in self.members if member.region == self.region]
        for member in separate:
            member.alone, member.decode = True, None
        return separate


class Ending:
    """Calls something once: when a native call is over, or at once if none was begun."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._native = False

    def with_native(self, then: Callable[[Callable[[], None]], None]) -> None:
        """Call it when a native call is over; `then` is that of the call."""
        self._native = True
        then(self._call)

    def unless_native(self) -> None:
        """Call it now if no native call was begun."""
        if not self._native:
            self._call()


def noted(region: Rect) -> Note:
    """Return the place of a piece in the image, for a trace."""
    return {"x": region.x, "y": region.y, "width": region.width, "height": region.height}


def read(wanted: Wanted, region: Rect, coded: Coded) -> Pixels:
    """Decode a region; nobody may change the pixels. Runs in a native thread. Raises as `ImageReader.read`."""
    reader = wanted.image.reader
    with span("decode", wanted.image.decoder, noted(region)), plugin_call(wanted.image.decoder, wanted.blob.name):
        pixels = np.empty((region.height, region.width, reader.info.channels), np.uint8)
        reader.read(coded.window, coded.data, pixels)
    # Several requests see them.
    pixels.flags.writeable = False
    return pixels
