"""`make attack`: attacks a real site on this machine, prints a table, and writes it to docs/attacks.md.

On loopback only, each attack bounded in time and count. The status is 1 if one of them was not held.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.resilience.attack.attack import Attack, Row
from tests.resilience.attack.ground import Ground
from tests.resilience.attack.register import ATTACKS
from tests.resilience.attack.report import printed, write


def rows(attacks: Sequence[Attack], console: Console) -> Iterator[Row]:
    """Run attacks, those of one setup on one site, and yield what became of each."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("attacking", total=len(attacks))
        waiting = sorted(attacks, key=lambda attack: repr(attack.setup), reverse=True)
        while waiting:
            setup = waiting[-1].setup
            with tempfile.TemporaryDirectory(prefix="attack-") as home, Ground(Path(home), setup) as ground:
                while waiting and waiting[-1].setup == setup:
                    progress.update(task, description=waiting[-1].name)
                    row = ground.attacked(waiting.pop())
                    progress.console.print(printed(row), highlight=False)
                    progress.advance(task)
                    yield row
                    if not row.held:
                        break  # what broke it must not be charged to the next


def chosen(words: str) -> list[Attack]:
    """Return the attacks whose name or kind has one of the words; all if there is none."""
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    return [each for each in ATTACKS if not wanted or any(word in f"{each.kind} {each.name}" for word in wanted)]


def main(only: Annotated[str, typer.Option(help="Words in names or kinds, with commas between.")] = "") -> None:
    """Attack, print, write the table if all were run, and end with status 1 if something broke."""
    # Attackers need descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began, console = time.monotonic(), Console(width=150)
    attacks = chosen(only)
    order = {attack.name: number for number, attack in enumerate(ATTACKS)}
    found = sorted(rows(attacks, console), key=lambda row: order[row.attack.name])
    broke = [row for row in found if not row.held]
    console.print(f"{len(found) - len(broke)} of {len(found)} held, {time.monotonic() - began:.0f} s")
    if not only:
        write(found)
    sys.exit(bool(broke))


if __name__ == "__main__":
    typer.run(main)
