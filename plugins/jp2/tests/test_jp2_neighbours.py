"""Which windows of a JPEG 2000 image share work: those that read the same code blocks or tiles, and no others."""

from __future__ import annotations

import pytest
from sidecar_jp2.format.geometry import Resolution
from sidecar_jp2.format.main_header import Coding
from sidecar_jp2.format.siz import Component, Geometry
from sidecar_jp2.neighbours import share
from sidecar_jp2.proven import DecodeUnit

from sidecar.plugin import Rect

SIDE = 512


def resolution(tile: int, reduce: int = 0, offset: int = 0) -> Resolution:
    """An image of 8192 by 8192 in tiles."""
    side = 8192 + offset
    parts = tuple(Component(precision=8, signed=False, dx=1, dy=1) for _ in range(3))
    return Resolution(Geometry(offset, offset, side, side, 0, 0, tile, tile, parts), reduce)


@pytest.fixture
def coding() -> list[Coding]:
    """Code blocks of 64 by 64."""
    return [Coding(levels=5, block_width=6, block_height=6, block_style=0, reversible=True, precincts=((15, 15),) * 6)]


def tile(column: int, row: int = 0) -> Rect:
    """A tile of a viewer."""
    return Rect(column * SIDE, row * SIDE, SIDE, SIDE)


@pytest.mark.parametrize(
    "one, other, near",
    [
        (tile(0), tile(1), True),
        (tile(0), tile(0, 1), True),
        (tile(0), tile(1, 1), True),
        (tile(0), tile(0), True),
        (tile(0), Rect(560, 0, SIDE, SIDE), True),
        (tile(0), tile(2), False),
        (tile(0), tile(1, 2), False),
    ],
)
def test_one_tile(coding: list[Coding], one: Rect, other: Rect, *, near: bool) -> None:
    """Windows of an untiled image share code blocks if less than a code block lies between them."""
    for reduce in (0, 2):
        found = share(resolution(10000, reduce), DecodeUnit.WINDOW, coding, one, other)
        assert found == near
        assert share(resolution(10000, reduce), DecodeUnit.WINDOW, coding, other, one) == near


@pytest.mark.parametrize(
    "reduce, one, other, near",
    [
        (0, tile(0), tile(1), True),
        (0, tile(1), tile(2), False),
        (0, tile(0), tile(0, 1), True),
        (0, tile(0, 1), tile(0, 2), False),
        (1, tile(0), tile(1), True),
        (2, tile(0), tile(1), True),
        (2, Rect(0, 0, 200, SIDE), Rect(200, 0, SIDE, SIDE), False),
        (2, tile(0), tile(2), False),
    ],
)
def test_many_tiles(coding: list[Coding], reduce: int, one: Rect, other: Rect, *, near: bool) -> None:
    """In tiles of 1024, windows inside one share; at coarse levels, windows larger than a tile that touch."""
    assert share(resolution(1024, reduce), DecodeUnit.WINDOW, coding, one, other) == near


def test_tiles_that_are_decoded_whole(coding: list[Coding]) -> None:
    """Windows of the same tile share it, however far they lie apart; of an image decoded whole, all do."""
    tiled = resolution(1024)
    far = Rect(0, 0, 100, 100), Rect(900, 900, 100, 100)
    assert share(tiled, DecodeUnit.TILE, coding, *far)
    assert not share(tiled, DecodeUnit.TILE, coding, tile(1), tile(2))
    assert not share(tiled, DecodeUnit.WINDOW, coding, *far)
    assert share(tiled, DecodeUnit.IMAGE, coding, tile(0), tile(9, 9))
