"""A comparison told to people at a terminal, and to machines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidecar.compare.comparison import Comparison
from sidecar.compare.verdicts import Outcome, Verdict

_STYLES: Mapping[Outcome, str] = {
    Outcome.EQUAL: "green",
    Outcome.CLOSE: "green",
    Outcome.DIFFERENT: "bold red",
    Outcome.FAILED: "bold red",
}
_ROWS = 20
COLD_AND_WARM = (
    "Who is asked second finds files in the page cache; so Cantaloupe is asked first for every other URL. Caches of "
    "answers make later rounds faster than the first: `--rounds 2` shows both. All times are of the client, which also "
    "compares meanwhile."
)


def show(comparison: Comparison, console: Console) -> None:
    """Print outcomes, speeds, the fields that differ and the first requests that are not fine."""
    console.print(_outcomes(comparison))
    if comparison.speeds(warm=False):
        console.print(_speeds(comparison), Text(COLD_AND_WARM, style="dim"))
    if comparison.troubled:
        console.print(_fields(comparison), _troubled(comparison))


def _outcomes(comparison: Comparison) -> Table:
    table = Table(title=f"{len(comparison.verdicts)} requests", show_header=False)
    for outcome in Outcome:
        count = comparison.counts[outcome]
        table.add_row(outcome, str(count), style=_STYLES[outcome] if count else "dim")
    table.add_row("the same bytes", str(comparison.same_bytes), style="dim")
    return table


def _speeds(comparison: Comparison) -> Table:
    table = Table("milliseconds", "Cantaloupe", "sidecar", "times as fast")
    for name, warm in (("first", False), ("again", True)):
        speeds = comparison.speeds(warm=warm)
        for figure in ("mean", "median", "p95") if speeds else ():
            cantaloupe, sidecar = (getattr(speed, figure) for speed in speeds)
            table.add_row(
                f"{name}, {figure}", f"{cantaloupe * 1e3:.1f}", f"{sidecar * 1e3:.1f}", f"{cantaloupe / sidecar:.1f}"
            )
    return table


def _fields(comparison: Comparison) -> Table:
    table = Table("what differs", "in", "Cantaloupe, for example", "sidecar")
    for field, count, _, difference in comparison.fields[:_ROWS]:
        table.add_row(*map(Text, (field, str(count), difference.cantaloupe, difference.sidecar)))
    return table


def _troubled(comparison: Comparison) -> Table:
    table = Table("request", "what differs")
    for verdict in comparison.troubled[:_ROWS]:
        table.add_row(Text(verdict.wanted.target, overflow="fold"), Text(fields_of(verdict)))
    if len(comparison.troubled) > _ROWS:
        table.add_row(f"and {len(comparison.troubled) - _ROWS} more", "")
    return table


def fields_of(verdict: Verdict) -> str:
    """The names of what differs."""
    return ", ".join(difference.field for difference in verdict.differences)


def to_json(comparison: Comparison) -> str:
    """Everything but the pictures; an infinite PSNR is null."""
    speeds = {name: comparison.speeds(warm=warm) for name, warm in (("first", False), ("again", True))}
    document = {
        "fine": comparison.fine,
        "counts": {outcome.value: comparison.counts[outcome] for outcome in Outcome},
        "same_bytes": comparison.same_bytes,
        "seconds": {
            name: dict(zip(("cantaloupe", "sidecar"), map(asdict, pair), strict=True)) if pair else None
            for name, pair in speeds.items()
        },
        "requests": [_as_dict(verdict) for verdict in comparison.verdicts],
    }
    return json.dumps(document, indent=1)


def _as_dict(verdict: Verdict) -> Mapping[str, object]:
    distance = asdict(verdict.distance) if verdict.distance else None
    if distance and not math.isfinite(distance["psnr"]):
        distance["psnr"] = None
    cantaloupe, sidecar = verdict.seconds
    return {
        "method": verdict.wanted.method,
        "target": verdict.wanted.target,
        "outcome": verdict.outcome.value,
        "same_bytes": verdict.same_bytes,
        "differences": [asdict(difference) for difference in verdict.differences],
        "distance": distance,
        "seconds": {"cantaloupe": list(cantaloupe), "sidecar": list(sidecar)},
    }
