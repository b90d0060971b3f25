"""Cuts: where the window of a large tile is cut out, and how many levels of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar_jp2.format.main_header import MainHeader, Progression
from sidecar_jp2.format.rounding import ceil_div

from sidecar.plugin import Rect

NOWHERE = Rect(0, 0, 0, 0)
MOST_LEVELS = 3
"""Levels of a stage that is cut out: with more, it would be cut out along larger precincts."""
SMALL_TILE = 1 << 19
"""Samples of a tile that are decoded faster than the tile is cut."""
USUAL = 512
"""The sides of a window for which levels are chosen."""
STAGE_COST, RECODING_COST = 1 << 19, 16
"""What a stage costs beside its samples, and what each sample coded anew costs, in empty samples decoded."""
REACH = {True: 5, False: 9}
"""How many samples the wavelet reaches beyond a window in each resolution, reversible or not; see
`sidecar_jp2.index.precincts.Direction.margin`."""
MOST_EXPONENT = 30
"""Exponents of steps have five bits (T.800 table A.30), and bases need finer steps."""
LOWEST_FIRST = frozenset({Progression.LRCP, Progression.RLCP, Progression.RPCL})
"""Progressions that begin with all packets of the lowest resolution, where the ones coded anew are put in."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a window of a tile is decoded."""

    levels: int = 0
    """How many levels are cut out; 0: the tile is decoded whole."""
    place: Rect = NOWHERE
    """The part of the level that is cut out."""
    base: Cut | None = None
    """How the resolution below is decoded."""
    below: Rect = NOWHERE
    """The window that is needed of it."""


@dataclass(frozen=True, slots=True)
class Cutter:
    """Chooses cuts for the tiles of one image. Tiles are on the reference grid, windows on the grid of their level."""

    header: MainHeader

    def cut(self, tile: Rect, level: int, window: Rect) -> Cut:
        """Return how a window of a tile is decoded.

        The levels of the stages follow from the tile and the level alone: coding anew rounds irreversible samples, and
        they must be rounded alike whatever window they are decoded for. Reversible ones are decoded whole where a cut
        saves little.
        """
        whole = reduced(tile, level)
        levels = self._levels(tile, level)
        if not levels:
            return Cut()
        place = self._place(whole, level, levels, window)
        if self.header.coding[0].reversible and 2 * place.size.area > whole.size.area:
            return Cut()
        below = self._below(tile, level, levels, window)
        return Cut(levels, place, self.cut(tile, level + levels, below), below)

    def _levels(self, tile: Rect, level: int) -> int:
        """Return how many levels of a tile are cut out at once, so that a usual window costs least."""
        return min(self._costs(tile, level, _usual(reduced(tile, level))))[1]

    def _costs(self, tile: Rect, level: int, window: Rect) -> Iterator[tuple[int, int]]:
        """Yield the cost of a window and the number of levels of its first stage, for each number that is possible."""
        whole = reduced(tile, level)
        yield whole.size.area + STAGE_COST, 0
        if whole.size.area <= SMALL_TILE:
            return
        for levels in range(1, min(MOST_LEVELS, self.header.levels - level) + 1):
            wide, high = self.alignment(level, levels)
            if whole.x % wide or whole.y % high:  # the tile begins between precincts
                return
            place, below = self._place(whole, level, levels, window), self._below(tile, level, levels, window)
            base, _ = min(self._costs(tile, level + levels, below))
            yield place.size.area + STAGE_COST + RECODING_COST * below.size.area + base, levels

    def alignment(self, level: int, levels: int) -> tuple[int, int]:
        """Return the sides of the least grid whose lines cut no precinct of the `levels` finest resolutions."""
        finest = self.header.levels - level
        sizes = [(finest - number, self.header.coding[0].precincts[number]) for number in range(finest + 1)]
        steps = [(1 << wide + halvings, 1 << high + halvings) for halvings, (wide, high) in sizes if halvings < levels]
        return max(step for step, _ in steps), max(step for _, step in steps)

    def _place(self, whole: Rect, level: int, levels: int, window: Rect) -> Rect:
        margin = REACH[self.header.coding[0].reversible] << levels
        wide, high = self.alignment(level, levels)
        left = max(whole.x, (window.x - margin) // wide * wide)
        top = max(whole.y, (window.y - margin) // high * high)
        right = min(whole.right, ceil_div(window.right + margin, wide) * wide)
        bottom = min(whole.bottom, ceil_div(window.bottom + margin, high) * high)
        return Rect(left, top, right - left, bottom - top)

    def _below(self, tile: Rect, level: int, levels: int, window: Rect) -> Rect:
        whole, margin = reduced(tile, level + levels), REACH[self.header.coding[0].reversible]
        left, top = max(whole.x, (window.x >> levels) - margin), max(whole.y, (window.y >> levels) - margin)
        right = min(whole.right, ceil_div(window.right, 1 << levels) + margin)
        bottom = min(whole.bottom, ceil_div(window.bottom, 1 << levels) + margin)
        return Rect(left, top, right - left, bottom - top)


def _usual(whole: Rect) -> Rect:
    """Return a window in the middle of a level."""
    width, height = min(USUAL, whole.width), min(USUAL, whole.height)
    return Rect(whole.x + (whole.width - width) // 2, whole.y + (whole.height - height) // 2, width, height)


def is_cuttable(header: MainHeader) -> bool:
    """Return whether a lowest resolution can be coded anew and put in."""
    room = all(
        coding.reversible
        or (quantization.guard_bits and max(exponent for exponent, _ in quantization.steps) < MOST_EXPONENT)
        for coding, quantization in zip(header.coding, header.quantization, strict=True)
    )
    return room and header.progression in LOWEST_FIRST


def common(one: Rect, other: Rect) -> Rect:
    """Return what two rectangles share."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    return Rect(left, top, min(one.right, other.right) - left, min(one.bottom, other.bottom) - top)


def reduced(rect: Rect, level: int) -> Rect:
    """Return a part of the reference grid on the grid of a level (T.800 B-15)."""
    left, top, right, bottom = (ceil_div(edge, 1 << level) for edge in (rect.x, rect.y, rect.right, rect.bottom))
    return Rect(left, top, right - left, bottom - top)
