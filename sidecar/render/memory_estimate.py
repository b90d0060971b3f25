"""How much memory a response takes at once: known before the work starts, checked against measurements in the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.plugin import Frame, Level, Size
from sidecar.render.lookahead import Lookahead
from sidecar.render.steps.step import Rows, Shape, Step
from sidecar.render.steps.tone import Binarize


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Sizes that the estimate needs, in pixels of the oriented source."""

    source: Size
    channels: int
    thickest: int
    """Rows of the thickest band."""
    decoding: Sequence[int]
    """The areas of the pieces that may be in native threads at once."""
    fetched: int
    """Total area whose compressed bytes are in memory: of bands ahead, and of the pieces in native threads."""
    lookahead: Lookahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What is made of the pixels."""

    frame: Frame
    rows: int
    """The encoder's strip height."""
    steps: Sequence[Step]
    binarize: Binarize | None
    encoder_bytes: int
    """See EncoderFactory.memory."""


def peak_bytes(level: Level, work: Work, output: Output) -> int:
    """Return the bytes held at once, at most: fetched, in native decoding, bands of pixels, a strip, the encoder's."""
    native = level.fixed_bytes * len(work.decoding) + sum(work.decoding) * level.pixel_bytes
    coded = work.fetched * level.coded_bytes
    need = max(source_rows(output.steps, wanted).count for wanted in strip_rows(output.frame.size.height, output.rows))
    # At worst the strip begins with the last row of one band and ends with the first of another; both are held whole.
    touched = (need - 2) // work.thickest + 2
    together = min((touched + work.lookahead.under_way) * work.thickest, work.source.height)
    bands = together * work.source.width * work.channels
    return int(native + coded + bands + _strip_bytes(need, work, output) + output.encoder_bytes)


def strip_rows(height: int, rows: int) -> Sequence[Rows]:
    """Return the rows of each strip of a picture."""
    return [Rows(start, min(start + rows, height)) for start in range(0, height, rows)]


def source_rows(steps: Sequence[Step], wanted: Rows) -> Rows:
    """Return the rows of the oriented source that some rows of the response are made from."""
    for step in reversed(steps):
        wanted = step.rows(wanted)
    return wanted


def _strip_bytes(need: int, work: Work, output: Output) -> int:
    """Return the bytes of the strip in hand: its source rows joined, and what the steps make of them."""
    wanted = Rows(0, output.rows)
    shape = Shape(need, work.source.width, work.channels)
    joined, most = shape.nbytes, 0
    for step in output.steps:
        after = step.shape(shape, wanted)
        most = max(most, step.peak_bytes(shape, after))
        shape = after
    whole = output.binarize.peak_bytes(output.frame.size.height, shape) if output.binarize else 0
    return joined + max(most, shape.nbytes) + whole
