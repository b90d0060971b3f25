"""The report of a comparison, at the terminal and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidecar_compare.comparison import Comparison
from sidecar_compare.findings import Finding, Outcome

_STYLES: Mapping[Outcome, str] = {
    Outcome.EQUAL: "green",
    Outcome.CLOSE: "green",
    Outcome.DIFFERENT: "bold red",
    Outcome.FAILED: "bold red",
}
_ROWS = 20
ROUNDS: Mapping[str, bool] = {"first": False, "again": True}
"""The names of the first and of the later rounds, and whether caches are warm by then."""
ABOUT_TIMES = (
    "The server that is asked second finds files in the page cache, so Cantaloupe is asked first for every other URL. "
    "Caches of responses make later rounds faster than the first: `--rounds 2` shows both. Times are measured by the "
    "client, which also compares responses meanwhile."
)


def show(comparison: Comparison, console: Console) -> None:
    """Print the outcomes, the speeds, the fields that differ and the first requests with problems."""
    console.print(_outcomes(comparison))
    if comparison.speeds(warm=False):
        console.print(_speeds(comparison), Text(ABOUT_TIMES, style="dim"))
    if comparison.problems:
        console.print(_fields(comparison), _problems(comparison))


def _outcomes(comparison: Comparison) -> Table:
    table = Table(title=f"{len(comparison.findings)} requests", show_header=False)
    for outcome in Outcome:
        count = comparison.counts[outcome]
        table.add_row(outcome, str(count), style=_STYLES[outcome] if count else "dim")
    table.add_row("identical bytes", str(comparison.same_bytes), style="dim")
    return table


def _speeds(comparison: Comparison) -> Table:
    table = Table("milliseconds", "Cantaloupe", "sidecar", "times as fast")
    for name, warm in ROUNDS.items():
        speeds = comparison.speeds(warm=warm)
        for figure in ("mean", "median", "p95") if speeds else ():
            cantaloupe, sidecar = (getattr(speed, figure) for speed in speeds)
            table.add_row(
                f"{name}, {figure}", f"{cantaloupe * 1e3:.1f}", f"{sidecar * 1e3:.1f}", f"{cantaloupe / sidecar:.1f}"
            )
    return table


def _fields(comparison: Comparison) -> Table:
    table = Table("field", "requests", "Cantaloupe, for example", "sidecar")
    for field in comparison.fields[:_ROWS]:
        example = field.example
        table.add_row(*map(Text, (field.name, str(field.count), example.cantaloupe, example.sidecar)))
    return table


def _problems(comparison: Comparison) -> Table:
    table = Table("request", "differing fields")
    for finding in comparison.problems[:_ROWS]:
        table.add_row(Text(finding.request.target, overflow="fold"), Text(names_of(finding)))
    if len(comparison.problems) > _ROWS:
        table.add_row(f"and {len(comparison.problems) - _ROWS} more", "")
    return table


def names_of(finding: Finding) -> str:
    """Return the names of the fields that differ, separated by commas."""
    return ", ".join(difference.field for difference in finding.differences)


def to_json(comparison: Comparison) -> str:
    """Return everything but the thumbnails as JSON; an infinite PSNR is null."""
    speeds = {name: comparison.speeds(warm=warm) for name, warm in ROUNDS.items()}
    document = {
        "fine": comparison.fine,
        "counts": {outcome.value: comparison.counts[outcome] for outcome in Outcome},
        "same_bytes": comparison.same_bytes,
        "seconds": {
            name: dict(zip(("cantaloupe", "sidecar"), map(asdict, pair), strict=True)) if pair else None
            for name, pair in speeds.items()
        },
        "requests": [_as_dict(finding) for finding in comparison.findings],
    }
    return json.dumps(document, indent=1)


def _as_dict(finding: Finding) -> Mapping[str, object]:
    distance = asdict(finding.distance) if finding.distance else None
    if distance and not math.isfinite(distance["psnr"]):
        distance["psnr"] = None
    cantaloupe, sidecar = finding.seconds
    return {
        "method": finding.request.method,
        "target": finding.request.target,
        "outcome": finding.outcome.value,
        "same_bytes": finding.same_bytes,
        "differences": [asdict(difference) for difference in finding.differences],
        "distance": distance,
        "seconds": {"cantaloupe": list(cantaloupe), "sidecar": list(sidecar)},
    }
