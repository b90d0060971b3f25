"""`make fuzz`: looks for inputs that surprise, FUZZ_MINUTES in all, a part for each target and each native library.

What is found lies in .bench/fuzz: inputs that reach new lines in `reached`, cases in `cases`; the status is 1 if there
is a case. `--keep` copies cases, and the inputs that reach lines which no kept one does, to tests/data/fuzz.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.fuzz.child import GOOD, Child
from tests.fuzz.decodes import DECODES, Decode
from tests.fuzz.reach import distilled
from tests.fuzz.target import CASE, DATA
from tests.fuzz.targets import TARGETS

FOUND: Final = Path(__file__).parents[2] / ".bench" / "fuzz"
FLAGS: Final = ("-timeout=20", "-rss_limit_mb=1500", "-max_len=16384", "-print_final_stats=1", "-verbosity=0")
RUNS: Final = "stat::number_of_executed_units:"
GRACE: Final = 120.0


@dataclass(frozen=True, slots=True)
class Search:
    """What a search has found."""

    name: str
    tries: int
    text: str
    cases: Sequence[Path]


def guided(name: str, seconds: float, seed: int) -> Search:
    """Look for inputs of a target under atheris, in a process of its own."""
    cases, reached = FOUND / "cases" / name, FOUND / "reached" / name
    for folder in (cases, reached):
        folder.mkdir(parents=True, exist_ok=True)
    flags = [f"-max_total_time={seconds:.0f}", f"-seed={seed}", f"-artifact_prefix={cases}/{CASE}", *FLAGS]
    command = [sys.executable, "-m", "tests.fuzz.engine", name, str(cases), *flags, str(reached)]
    before = {*cases.iterdir()}
    done = subprocess.run(  # fixed words
        [*command, str(TARGETS[name].folder)],
        capture_output=True,
        check=False,
        timeout=seconds + GRACE,
    )
    text = done.stderr.decode("utf-8", "replace")
    tries = sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith(RUNS))
    new = sorted({*cases.iterdir()} - before)
    if done.returncode and not new:
        raise RuntimeError(f"atheris: status {done.returncode}\n{text[-2000:]}")
    return Search(name, tries, f"{len([*reached.iterdir()])} inputs reach something", new)


def blind(decode: Decode, seconds: float, seed: int) -> Search:
    """Let a native library decode changed inputs in a child."""
    draw, ends = random.Random(seed), time.monotonic() + seconds  # noqa: S311  # a search that can be repeated
    folder, seen, cases = FOUND / "cases" / decode.name, Counter[str](), set[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    known = decode.sound()
    with Child(decode.run) as child:
        while time.monotonic() < ends:
            content = decode.change(draw, known)
            outcome = child.outcome(content)
            seen[outcome.verdict] += 1
            if outcome.verdict not in GOOD:
                digest = hashlib.blake2b(content, digest_size=6).hexdigest()
                path = folder / f"{CASE}{outcome.verdict}-{digest}"
                path.write_bytes(content)
                path.with_name(f"{path.name}.txt").write_text(f"{outcome.text}\n", encoding="utf-8")
                cases.add(path)
    text = ", ".join(f"{count} x {verdict}" for verdict, count in seen.most_common())
    return Search(decode.name, seen.total(), text, sorted(cases))


def searches(names: Sequence[str], minutes: float, seed: int) -> Iterator[Search]:
    """Yield what each search finds, one after the other."""
    seconds = minutes * 60 / len(names)
    with Progress(console=Console(stderr=True)) as progress:
        for name in progress.track(names, description="Fuzzing"):
            progress.console.print(f"{name}: {seconds:.0f} s")
            yield guided(name, seconds, seed) if name in TARGETS else blind(DECODES[name], seconds, seed)


def keep() -> None:
    """Copy cases and what reaches more to tests/data/fuzz."""
    for name, target in TARGETS.items():
        target.folder.mkdir(parents=True, exist_ok=True)
        fresh = [path.read_bytes() for path in sorted((FOUND / "reached" / name).glob("*"))]
        for content in distilled(target, target.corpus(), fresh):
            _keep(target.folder, "", content)
    for path in sorted((FOUND / "cases").glob(f"*/{CASE}*")):
        if path.suffix != ".txt":
            folder = DATA / path.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            _keep(folder, CASE, path.read_bytes())


def _keep(folder: Path, prefix: str, content: bytes) -> None:
    (folder / f"{prefix}{hashlib.blake2b(content, digest_size=6).hexdigest()}").write_bytes(content)


def main(
    minutes: Annotated[float, typer.Option(help="In all.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed and number of runs finds the same.")] = 1,
    only: Annotated[str, typer.Option(help="Names of targets, with commas between.")] = "",
    save: Annotated[bool, typer.Option("--keep", help="Add what was found to tests/data/fuzz.")] = False,  # noqa: FBT002  # a flag
) -> None:
    """Search, print a table, and end with status 1 if anything surprised."""
    names = only.split(",") if only else [*TARGETS, *DECODES]
    found = [*searches(names, minutes, seed)]
    table = Table("target", "tries", "outcome", "cases")
    for search in found:
        table.add_row(search.name, f"{search.tries:,}", search.text, str(len(search.cases)))
    Console().print(table)
    for path in (path for search in found for path in search.cases):
        sys.stdout.write(f"{path}\n")
    if save:
        keep()
    sys.exit(any(search.cases for search in found))


if __name__ == "__main__":
    typer.run(main)
