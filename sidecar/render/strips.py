"""Bands regrouped into the strips of the response, finished by the plan's steps and encoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.errors import EncodeError, Overloaded
from sidecar.limits.threads import Pool
from sidecar.observability.tracing import span
from sidecar.plugin import Encoder, Pixels
from sidecar.render.memory_estimate import source_rows, strip_rows
from sidecar.render.plan import Plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.steps.orient import orient
from sidecar.render.steps.step import Rows
from sidecar.render.steps.tone import Binarize


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of the oriented source that some rows of the response are made from."""

    parts: Sequence[Pixels]
    have: Rows
    wanted: Rows


def strips(plan: Plan, bands: Iterable[Pixels]) -> Iterator[Strip]:
    """Regroup bands (views, no copies) into what each strip of the response needs."""
    held: deque[tuple[int, Pixels]] = deque()
    source = iter(bands)
    end = 0
    for wanted in strip_rows(plan.frame.size.height, plan.rows):
        need = source_rows(plan.steps, wanted)
        while end < need.stop:
            band = orient(next(source), plan.orientation)
            held.append((end, band))
            end += len(band)
        while held[0][0] + len(held[0][1]) <= need.start:
            held.popleft()
        yield Strip([_cut(at, band, need) for at, band in held if at < need.stop], need, wanted)


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
    """Return the file's chunks, each strip finished and encoded in a native thread.

    `image` and `plugin` name the blob and the encoder in the log.
    """

    def write(pixels: Pixels) -> bytes:
        with span("encode"), plugin_call(plugin, image):
            return encoder.write(pixels)

    def write_strip(strip: Strip) -> bytes:
        return write(finish(plan, strip))

    def end() -> bytes:
        with span("encode"), plugin_call(plugin, image):
            return encoder.finish()

    if plan.binarize:
        written = (pool(write, strip) for strip in _binarized(plan, plan.binarize, parts, pool))
    else:
        written = (pool(write_strip, strip) for strip in parts)
    yield from filter(None, written)
    yield from filter(None, [pool(end)])


def _binarized(plan: Plan, step: Binarize, parts: Iterable[Strip], pool: Pool) -> Iterator[Pixels]:
    """Return strips of black and white. The threshold depends on the whole picture, so it is held until then."""
    grays = [pool(finish, plan, strip) for strip in parts]
    threshold = pool(step.threshold, grays)
    for gray in grays:
        yield pool(step.apply, gray, threshold)
