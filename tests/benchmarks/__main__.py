"""`make bench`: figures of the whole, compared in one run; tables here, plots and Markdown in `.bench`.

`make bench ONLY=a` runs one part. BENCH_FILES names a folder with pictures of the same names, BENCH_LARGE=1 adds
larger ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from sidecar.limits.memory_limit import ALLOCATOR
from tests.benchmarks.figures import Report, markdown, number
from tests.benchmarks.files import BENCH, say

WIDTH: Final = 120
PARTS: Final[Mapping[str, str]] = {
    "a": "tiles",
    "b": "far",
    "c": "overlap",
    "d": "service",
    "e": "estimates",
    "f": "allocator",
    "g": "htj2k",
    "h": "cuts",
    "i": "bits",
    "j": "tracing",
    "k": "slides",
    "l": "request_cost",
    "m": "encoding.measure",
    "n": "fleet",
}


def main(
    only: Annotated[str, typer.Option(help="The parts to run: any of " + ", ".join(PARTS))] = "".join(PARTS),
) -> None:
    """Run the benchmarks; the status is 1 where something that must hold does not."""
    with_allocator()
    missed = [part for part in only if not _shown(part, import_module(f"tests.benchmarks.{PARTS[part]}").run)]
    sys.exit(1 if missed else 0)


def with_allocator() -> None:
    """Begin again with the settings of glibc's allocator that `sidecar serve` runs with."""
    missing = {name: value for name, value in ALLOCATOR.items() if name not in os.environ}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})  # noqa: S606  # no shell is wanted


def _shown(part: str, run: Callable[[], Report]) -> bool:
    say(f"({part}) {PARTS[part]} …")
    report = run()
    BENCH.mkdir(exist_ok=True)
    (BENCH / f"{part}.md").write_text(markdown(report), encoding="utf-8")
    from tests.benchmarks import plots  # noqa: PLC0415  # it takes a second that a failing run need not wait for

    plots.draw(report, BENCH / f"{part}.svg")
    _print(report)
    return all(must.kept for must in report.musts)


def _print(report: Report) -> None:
    console = Console(width=WIDTH)
    table = Table(*report.columns, title=report.title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in report.rows:
        table.add_row(*map(number, row))
    console.print(table)
    for must in report.musts:
        console.print(str(must), markup=False, style="green" if must.kept else "bold red", highlight=False)
    for note in report.notes:
        console.print(note, markup=False, style="dim", highlight=False)


if __name__ == "__main__":
    typer.run(main)
