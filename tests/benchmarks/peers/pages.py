"""The generated parts of docs/peers.md and README."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.figures import number
from tests.benchmarks.peers import plots
from tests.benchmarks.peers.bounds import JP2
from tests.benchmarks.peers.plan import OURS, VIEWING
from tests.benchmarks.peers.results import Results, rates
from tests.benchmarks.peers.tables import growth_tables, kept_table, markdown, picture_tables, spread

ROOT: Final = Path(__file__).parents[3]
PAGE, README = ROOT / "docs" / "peers.md", ROOT / "README.md"
SENTENCE: Final = """Tiles a second that two people get who zoom and pan in a photograph of 80 megapixels, from each
server alone on the same machine, and how many times as many the sidecar gives ([how it is measured](docs/peers.md)):"""
BETWEEN: Final = re.compile(r"(?<=<!-- peers -->\n)(.*)(?=<!-- /peers -->)", re.DOTALL)


def write(results: Results, page: Path = PAGE, readme: Path = README) -> None:
    """Put a run into both pages."""
    for path, text in ((page, figures(results)), (readme, summary(results))):
        before, _, after = BETWEEN.split(path.read_text(encoding="utf-8"))
        path.write_text(f"{before}{text}{after}", encoding="utf-8")


def figures(results: Results, *, measured_only: bool = False) -> str:
    """Return everything that was measured; bounds that were not are named too, unless `measured_only`."""
    versions = "".join(f"- {name}: {version}\n" for name, version in results.peers.items())
    left_out = "".join(f"- {name} took no part: {what}\n" for name, what in results.missing.items())
    pictures = "".join(f"### {label}\n\n{table}\n" for label, table in picture_tables(results))
    return (
        f"Measured on {results.when}: {results.machine}.\n\n{versions}{left_out}\n"
        f"{shown(results, '../')}\n"
        f"## Bounds\n\n{kept_table(results, measured_only=measured_only)}\n"
        f"## How cost grows\n\n{growth_tables(results)}\n"
        f"## All figures\n\n{pictures}"
    )


def shown(results: Results, to_root: str, names: Collection[str] = ()) -> str:
    """Return the plots of what was measured, or those of some names, as links from a page."""
    folder = plots.FOLDER.relative_to(ROOT).as_posix()
    return "".join(
        f"![{report.title}]({to_root}{folder}/{plots.file_name(name)})\n"
        for name, report in plots.reports(results)
        if name in names or not names
    )


def summary(results: Results) -> str:
    """Return viewers' tiles a second with each picture: ours, and beside it the peers' with the ratio."""
    peers = [name for name in results.peers if name in {"iipsrv", "Cantaloupe"}]
    rows = []
    for label in (files.LABELS[name] for name in JP2):
        ours = results.case(label, VIEWING.name, OURS)
        if ours:
            others = [results.case(label, VIEWING.name, peer) for peer in peers]
            beside = [f"{number(each.rate)}: {spread(rates(ours, each), ' times')}" if each else "" for each in others]
            rows.append((label, number(ours.rate), *beside))
    table = markdown(("tiles a second", OURS, *peers), rows)
    return f"{SENTENCE}\n\n{shown(results, '', ['viewers'])}\n{table}"
