"""Results as tables in Markdown: the bounds, each picture with all figures, and how cost grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import number
from tests.benchmarks.peers.bounds import Bound, bounds
from tests.benchmarks.peers.plan import GROWING, OURS, PICTURES
from tests.benchmarks.peers.results import Case, Ratio, Results, rates
from tests.benchmarks.peers.single_tiles import ALONE

MB: Final = 1e6
HEAD: Final = (
    "",
    "responses a second",
    "sidecar to it (lowest, highest round)",
    "median, p95, ms",
    "first byte, ms",
    "processor, ms",
    "memory, MB",
    "read, MB a response",
)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def spread(ratio: Ratio, unit: str = "") -> str:
    """Return the middle, and lowest and highest if there are several rounds."""
    middle, (low, high) = ratio.middle, ratio.spread
    around = f" ({number(low)}, {number(high)})" if len(ratio.rounds) > 1 else ""
    return f"{number(middle)}{unit}{around}"


def kept_table(results: Results, *, measured_only: bool = False) -> str:
    """Return what has to be reached, and what was."""
    found = [each for each in bounds(results) if each.reached or not measured_only]
    return markdown(("bound", "wanted", "reached (lowest, highest round)", ""), [*map(_bound, found)])


def _bound(bound: Bound) -> Sequence[str]:
    sign = "≤" if bound.at_most else "≥"
    if bound.reached is None:
        return bound.what, f"{sign} {number(bound.wanted)}{bound.unit}", "not measured", ""
    mark = "kept" if bound.kept else "**missed**"
    return bound.what, f"{sign} {number(bound.wanted)}{bound.unit}", spread(bound.reached, bound.unit), mark


def picture_tables(results: Results) -> Iterator[tuple[str, str]]:
    """Yield each picture's label and table, in the order of the plan."""
    growing = {each.name for each in GROWING} | {ALONE.name}
    for name, (_, workloads) in PICTURES.items():
        label = files.LABELS[name]
        rows = [
            row(results, case, each.title)
            for each in workloads
            if each.name not in growing
            for case in results.cases
            if (case.picture, case.workload) == (label, each.name)
        ]
        if rows:
            yield label, markdown(HEAD, rows)


def row(results: Results, case: Case, title: str) -> Sequence[str]:
    """Return a peer's figures in one workload."""
    ours = results.case(case.picture, case.workload, OURS)
    return (
        f"{title}: {case.peer}",
        number(case.rate),
        spread(rates(ours, case)) if ours and case.peer != OURS else "",
        f"{number(case.last * 1000)}, {number(case.late * 1000)}",
        number(case.first * 1000),
        number(case.work * 1000),
        number(case.memory / MB),
        number(case.read / MB),
    )


def growth_tables(results: Results) -> str:
    """Return how the cost of a tile grows with the picture, and how viewers share a server."""
    sizes = [files.LABELS[name] for name in files.GROWING]
    counts = [f"{each.viewers}" for each in GROWING]
    label = files.LABELS[files.TILED_LOSSLESS]
    peers = list(dict.fromkeys(case.peer for case in results.cases))
    tiles = [(peer, [results.case(size, ALONE.name, peer) for size in sizes]) for peer in peers]
    viewers = [(peer, [results.case(label, each.name, peer) for each in GROWING]) for peer in peers]
    tile = markdown(
        ("one tile at a time, median, ms (processor, ms)", *sizes),
        [
            (peer, *(f"{number(c.last * 1000)} ({number(c.work * 1000)})" if c else "" for c in cases))
            for peer, cases in tiles
            if any(cases)
        ],
    )
    many = markdown(
        (f"viewers of {label}: tiles a second (p95, ms)", *counts),
        [
            (peer, *(f"{number(c.rate)} ({number(c.late * 1000)})" if c else "" for c in cases))
            for peer, cases in viewers
            if any(cases)
        ],
    )
    return f"{tile}\n{many}"
