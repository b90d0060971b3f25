"""Decoding that would take longer than a request may is refused before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.errors import TooLong
from sidecar.plugin import Grid, Level, Rect, Size
from sidecar.render.tiling import Band
from sidecar.render.time_estimate import TimeLimits

LEVEL = Level(
    size=Size(100, 40), downsample=1.0, grid=Grid(width=100, height=10), fixed_seconds=1.0, pixel_seconds=0.01
)


def bands(pieces: int) -> list[Band]:
    """Return four bands of 1,000 pixels, each of some pieces: a piece takes 1 second and 10 seconds its share."""
    width = 100 // pieces
    return [
        Band(
            Rect(0, 10 * number, 100, 10),
            tuple(Rect(width * place, 10 * number, width, 10) for place in range(pieces)),
        )
        for number in range(4)
    ]


def test_time_enough() -> None:
    """Four bands of 11 seconds fit into 11 until the first byte and 44 in all."""
    TimeLimits(11.0, 44.0).check(LEVEL, bands(1), 1)
    TimeLimits().check(LEVEL, bands(1), 1)


@pytest.mark.parametrize("limits", [TimeLimits(10.9, 100), TimeLimits(100, 43.9), TimeLimits(1000, 10.9)])
def test_too_long(limits: TimeLimits) -> None:
    """A first band that takes longer than until the first byte, or all longer than in all, is refused."""
    with pytest.raises(TooLong, match=r"about (11|44) seconds"):
        limits.check(LEVEL, bands(1), 1)


def test_pieces_side_by_side() -> None:
    """Pieces of a band are decoded at once, by as many cores as there are; no band is faster than its slowest piece."""
    TimeLimits(7.0, 28.0).check(LEVEL, bands(4), 2)
    with pytest.raises(TooLong):
        TimeLimits(6.9, 100).check(LEVEL, bands(4), 2)
    with pytest.raises(TooLong):
        TimeLimits(3.4, 100).check(LEVEL, bands(4), 100)


def test_decoders_that_do_not_say() -> None:
    """A level without times is never too long."""
    TimeLimits(0.001, 0.001).check(replace(LEVEL, fixed_seconds=0.0, pixel_seconds=0.0), bands(1), 1)
