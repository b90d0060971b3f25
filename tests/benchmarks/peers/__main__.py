"""`make bench-peers`: the sidecar beside other servers, taking turns in one run.

`ONLY='viewers-6 lossless, stored'` plays the workloads and pictures that have all words of one of the alternatives;
`ROUNDS=5` repeats more often. What was measured is kept in `.bench/peers.json`; a run of everything also writes the
tables of docs/peers.md and README and draws the plots. `--again` does that with what is kept, and measures nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks.__main__ import with_allocator
from tests.benchmarks.files import BENCH
from tests.benchmarks.peers import pages, plots
from tests.benchmarks.peers.bounds import bounds
from tests.benchmarks.peers.machine import machine
from tests.benchmarks.peers.plan import PEERS, Part, parts, rounds_of
from tests.benchmarks.peers.results import Results, keep, kept
from tests.benchmarks.peers.runner import cases, present

KEPT, SOME = BENCH / "peers.json", BENCH / "peers-some.json"
ROUNDS: Final = 3
WIDTH: Final = 160


def main(
    only: Annotated[str, typer.Option(help="Words of workloads and pictures; alternatives with commas between.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How often most workloads are played.")] = ROUNDS,
    again: Annotated[bool, typer.Option("--again", help="Write pages and plots of what is kept.")] = False,  # noqa: FBT002  # an option
) -> None:
    """Measure, print, keep and write; the status is 1 if a bound that was measured is missed."""
    with_allocator()
    # Servers are stopped on the way out, also if a task runner ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(width=WIDTH)
    results = kept(KEPT) if again else _measure(only, rounds, console)
    console.print(Markdown(pages.figures(results, measured_only=bool(only))))
    if not only:
        pages.write(results)
        for path in plots.draw(results):
            console.print(f"drawn: {path.name}")
    sys.exit(any(bound.reached and not bound.kept for bound in bounds(results)))


def _measure(only: str, rounds: int, console: Console) -> Results:
    missing = {peer.name: peer.missing for peer in PEERS if peer.missing}
    for name, what in missing.items():
        console.print(f"{name} takes no part: {what}", style="yellow", markup=False)
    taking = present()
    chosen = [*parts(only)]
    if not chosen:
        raise typer.BadParameter(f"nothing is called {only!r}")
    today = datetime.now(UTC).date().isoformat()
    results = Results(machine(), today, {peer.name: peer.version for peer in taking}, missing)
    began = time.monotonic()
    _play(results, chosen, rounds, console, SOME if only else KEPT)
    console.print(f"{time.monotonic() - began:.0f} s")
    return results


def _play(results: Results, chosen: Sequence[Part], rounds: int, console: Console, path: Path) -> None:
    there = results.peers
    total = sum(
        rounds_of(workload, rounds) * sum(name in there for name in part.peers(workload))
        for part in chosen
        for workload in part.workloads
    )
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total)

        def say(text: str) -> None:
            progress.console.print(text, markup=False, highlight=False)

        for part in chosen:
            progress.update(task, description=part.picture.label)
            for case in cases(part, rounds, say, lambda: progress.advance(task)):
                results.cases.append(case)
                keep(results, path)


if __name__ == "__main__":
    typer.run(main)
