"""Results as pictures that README and docs show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks import files, plots
from tests.benchmarks.figures import Chart, Report
from tests.benchmarks.peers.bounds import JP2
from tests.benchmarks.peers.plan import EXACT, GROWING, OURS, VIEWING
from tests.benchmarks.peers.results import Case, Results
from tests.benchmarks.peers.single_tiles import ALONE, FULL, HALF
from tests.benchmarks.peers.whole_views import LARGE

FOLDER: Final = Path(__file__).parents[1] / "results"
SHOWN: Final = (OURS, EXACT, "iipsrv", "Cantaloupe", "DeepZoom", "large_image")


def draw(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Draw all that was measured; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, report in reports(results):
        path = folder / file_name(name)
        plots.draw(report, path)
        drawn.append(path)
    return drawn


def file_name(name: str) -> str:
    """Return the name of a plot's file."""
    return f"peers-{name}.svg"


def reports(results: Results) -> Iterator[tuple[str, Report]]:
    """Yield the name and the content of each picture."""
    jp2, slide = [files.LABELS[name] for name in JP2], files.LABELS[files.SLIDE]
    sizes, count = [files.LABELS[name] for name in files.GROWING], files.LABELS[files.TILED_LOSSLESS]
    wanted = (
        ("viewers", "Two viewers zoom and pan", "tiles a second", [(label, label, VIEWING.name) for label in jp2]),
        (
            "first-byte",
            "First byte of a picture 3000 px wide",
            "seconds, less is better",
            [(label, label, LARGE.name) for label in (*jp2, slide)],
        ),
        (
            "slides",
            "A whole-slide scan",
            "tiles a second",
            [("viewers", slide, VIEWING.name), ("tiles at 1:1", slide, FULL.name), ("tiles at 1:2", slide, HALF.name)],
        ),
        (
            "growth",
            "One tile of pictures of any size",
            "milliseconds, less is better",
            [(label, label, ALONE.name) for label in sizes],
        ),
        (
            "crowd",
            f"Viewers at once: {count}",
            "tiles a second",
            [(f"{each.viewers} at once", count, each.name) for each in GROWING],
        ),
    )
    for name, title, unit, rows in wanted:
        chart = _chart(results, unit, rows)
        if chart.cases:
            yield name, Report(title, (), (), chart)


def _chart(results: Results, unit: str, rows: list[tuple[str, str, str]]) -> Chart:
    """Return the bars of the workloads that were played, for the peers that played any of them."""
    rows = [each for each in rows if results.case(each[1], each[2], OURS)]
    found = {peer: [results.case(label, workload, peer) for _, label, workload in rows] for peer in SHOWN}
    series = {peer: [_value(case, unit) for case in cases] for peer, cases in found.items() if any(cases)}
    return Chart(unit, [name for name, _, _ in rows], series)


def _value(case: Case | None, unit: str) -> float:
    if case is None:
        return float("nan")
    if unit.startswith("seconds"):
        return case.first
    return case.last * 1000 if unit.startswith("milliseconds") else case.rate
