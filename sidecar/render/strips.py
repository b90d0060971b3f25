"""Bands regrouped into the strips of the response, finished by the plan's steps and encoded."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Protocol, Self

import numpy as np

from sidecar.errors import EncodeError, Overloaded
from sidecar.limits.native_calls import Pool
from sidecar.observability.tracing import span
from sidecar.plugin import Encoder, Pixels
from sidecar.render.memory_estimate import source_rows, strip_rows
from sidecar.render.plan import Plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.steps.orient import orient
from sidecar.render.steps.step import Rows
from sidecar.render.steps.tone import Binarize
from sidecar.render.task import Task


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of the oriented source that some rows of the response are made from."""

    parts: Sequence[Pixels]
    have: Rows
    wanted: Rows


class Source(Protocol):
    """Bands of pixels in the source's orientation; `sidecar.render.bands.Bands`."""

    def __iter__(self) -> Iterator[Pixels]: ...

    def stop(self) -> None:
        """Decode nothing more."""
        ...

    def close(self) -> None:
        """Wait until nothing more is begun."""
        ...


class Strips:
    """Iterates over what each strip of a response is made from: bands, regrouped (views, no copies).

    A response whose client does not read can be paused between two strips: its bands are dropped, and those that the
    rest needs are decoded again when it goes on.
    """

    def __init__(self, plan: Plan, begin: Callable[[int], Source]) -> None:
        """`begin` returns the plan's bands from a number on; they are decoded ahead from then on."""
        self._plan, self._begin = plan, begin
        self._left = deque(strip_rows(plan.frame.size.height, plan.rows))
        across = plan.orientation.quarter_turns % 2 == 1
        sizes = (band.region.width if across else band.region.height for band in plan.bands)
        self._starts = [*accumulate(sizes, initial=0)]
        """The first row of each band."""
        self._held: deque[tuple[int, Pixels]] = deque()
        """Bands, and the row at which each begins."""
        self._bands = begin(0)
        self._source: Iterator[tuple[int, Pixels]] | None = self._from(0)
        self._closing: list[Task[None]] = []

    def __iter__(self) -> Self:
        """Return the strips, once."""
        return self

    def __next__(self) -> Strip:
        """Return the next one. Raises what fetching and decoding raise."""
        if not self._left:
            raise StopIteration
        wanted = self._left.popleft()
        need = source_rows(self._plan.steps, wanted)
        source = self._source or self._resumed(need.start)
        while not self._held or self._end < need.stop:
            self._held.append(next(source))
        while self._held[0][0] + len(self._held[0][1]) <= need.start:
            self._held.popleft()
        return Strip([_cut(at, band, need) for at, band in self._held if at < need.stop], need, wanted)

    def pause(self) -> None:
        """Let go of all bands; call it while no native call is under way for them. Does not wait."""
        self._held.clear()
        self._source = None
        self._bands.stop()
        self._closing.append(Task(self._bands.close))

    def close(self) -> None:
        """Begin nothing more; see `Source.close`."""
        if self._source is not None:
            self._bands.close()
        for closing in self._closing:
            closing.get()

    @property
    def _end(self) -> int:
        at, band = self._held[-1]
        return at + len(band)

    def _resumed(self, row: int) -> Iterator[tuple[int, Pixels]]:
        first = bisect_right(self._starts, row) - 1
        self._bands = self._begin(first)
        self._source = self._from(first)
        return self._source

    def _from(self, first: int) -> Iterator[tuple[int, Pixels]]:
        orientation = self._plan.orientation
        return zip(self._starts[first:], (orient(band, orientation) for band in self._bands), strict=False)


def _cut(at: int, band: Pixels, need: Rows) -> Pixels:
    return band[max(0, need.start - at) : need.stop - at]


def finish(plan: Plan, strip: Strip) -> Pixels:
    """Return the pixels of a strip as the encoder receives them. Runs in a native thread.

    Raises Overloaded, EncodeError, and what the steps raise on purpose.
    """
    try:
        pixels = strip.parts[0] if len(strip.parts) == 1 else np.concatenate(strip.parts)
        have = strip.have
        for step, wanted in zip(plan.steps, _rows_after_each(plan, strip.wanted), strict=True):
            pixels = step.apply(pixels, have, wanted)
            have = wanted
        return np.ascontiguousarray(pixels)
    except MemoryError as error:
        raise Overloaded("there is no memory for this response; try again later") from error
    except (ValueError, OSError) as error:
        raise EncodeError(f"a strip could not be scaled: {error}") from error


def _rows_after_each(plan: Plan, wanted: Rows) -> Sequence[Rows]:
    """Return the rows that each step must make so that the last one makes those wanted."""
    return [source_rows(plan.steps[index + 1 :], wanted) for index in range(len(plan.steps))]


def encode(
    plan: Plan, parts: Iterable[Strip], encoder: Encoder, pool: Pool, image: str = "", plugin: str = "encoder"
) -> Iterator[bytes]:
    """Return the file's chunks, each strip finished and encoded in a native thread; the last with the end of the file.

    `image` and `plugin` name the blob and the encoder in the log.
    """
    left = plan.frame.size.height

    def write(pixels: Pixels) -> Sequence[bytes]:
        nonlocal left
        left -= len(pixels)
        with span("encode", plugin), plugin_call(plugin, image):
            return [encoder.write(pixels)] if left else [encoder.write(pixels), encoder.finish()]

    def write_strip(strip: Strip) -> Sequence[bytes]:
        return write(finish(plan, strip))

    written: Iterator[Sequence[bytes]]
    if plan.binarize:
        written = (pool(write, strip) for strip in _binarized(plan, plan.binarize, parts, pool))
    else:
        written = map(lambda strip: pool(write_strip, strip), parts)  # noqa: C417  # a generator would hold a strip while paused
    yield from filter(None, chain.from_iterable(written))


def _binarized(plan: Plan, step: Binarize, parts: Iterable[Strip], pool: Pool) -> Iterator[Pixels]:
    """Return strips of black and white. The threshold depends on the whole picture, so it is held until then."""
    grays = [pool(finish, plan, strip) for strip in parts]
    threshold = pool(step.threshold, grays)
    for gray in grays:
        yield pool(step.apply, gray, threshold)
