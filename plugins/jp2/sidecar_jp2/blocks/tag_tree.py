"""The shape of the tag trees of a precinct (ITU-T T.800 B.10.2): which nodes lie above each code block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from sidecar_jp2.format.block_grid import Grids

Path: TypeAlias = tuple[int, ...]
Size: TypeAlias = tuple[int, int]

NEVER = 1 << 30
"""The value of a leaf that no layer includes."""


class TagTrees(NamedTuple):
    """The trees of all subbands of a precinct, as one array of nodes. It has the shape only; two values go with it."""

    nodes: int
    """The number of nodes."""
    paths: Sequence[Path]
    """The nodes from the root down to each code block, in the order of the packet."""
    parents: Sequence[int]
    """The node above each node, which has a higher number; -1 above a root."""

    def minima(self, leaves: Sequence[int]) -> list[int]:
        """Return the value of every node: the least of the leaves below it."""
        values = [NEVER] * self.nodes
        for path, leaf in zip(self.paths, leaves, strict=True):
            values[path[-1]] = leaf
        for node, parent in enumerate(self.parents):
            if parent >= 0 and values[node] < values[parent]:
                values[parent] = values[node]
        return values


def tag_trees(grids: Grids) -> TagTrees:
    """Return the trees over the code blocks of a precinct."""
    return _tag_trees(tuple([(right - left, bottom - top) for left, top, right, bottom in grids]))


@lru_cache(maxsize=128)
def _tag_trees(sizes: tuple[Size, ...]) -> TagTrees:
    paths, parents = list[Path](), list[int]()
    for width, height in sizes:
        if width * height:
            first = len(parents)
            parents += _parents([*_levels(width, height)], first)
            above: dict[int, Path] = {-1: ()}
            for node in range(len(parents) - 1, first - 1, -1):
                above[node] = (*above[parents[node]], node)
            paths += [above[first + leaf] for leaf in range(width * height)]
    return TagTrees(len(parents), tuple(paths), tuple(parents))


def _levels(width: int, height: int) -> Iterator[Size]:
    yield width, height
    while width * height > 1:
        width, height = (width + 1) // 2, (height + 1) // 2
        yield width, height


def _parents(levels: Sequence[Size], first: int) -> Iterator[int]:
    """Yield the parent of each node of one tree, level by level from the leaves up."""
    for (width, height), (above, _) in pairwise(levels):
        first += width * height
        yield from (first + (y >> 1) * above + (x >> 1) for y in range(height) for x in range(width))
    yield -1
