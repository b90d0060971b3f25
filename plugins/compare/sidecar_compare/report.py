"""The report of a comparison, at the terminal and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
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
    "Caches are asked to pass requests on; with `--caches use` they make later rounds faster than the first, and "
    "`--rounds 2` shows both. Times are measured by the client, which also compares responses meanwhile."
)


def show(comparison: Comparison, console: Console) -> None:
    """Print the outcomes, the speeds, the fields that differ and the first requests with problems."""
    console.print(_outcomes(comparison))
    if comparison.speeds(warm=False):
        console.print(_speeds(comparison), Text(ABOUT_TIMES, style="dim"))
    if comparison.problems:
        for table in _differences(comparison):
            console.print(table)


def _outcomes(comparison: Comparison) -> Table:
    table = Table(title=f"{len(comparison.findings)} requests", show_header=False)
    for outcome in Outcome:
        count = comparison.counts[outcome]
        parted = f" ({parts_of(comparison)})" if outcome is Outcome.DIFFERENT and count else ""
        table.add_row(outcome, f"{count}{parted}", style=_STYLES[outcome] if count else "dim")
    table.add_row("identical bytes", str(comparison.same_bytes), style="dim")
    for who, count in comparison.answered.most_common():
        table.add_row(f"answered by {who}", str(count), style="dim")
    return table


def parts_of(comparison: Comparison) -> str:
    """Return how many of the different responses are documented, and how many are not."""
    known = sum(bool(finding.documented) for finding in comparison.problems)
    return f"documented: {known}, other: {comparison.counts[Outcome.DIFFERENT] - known}"


def _differences(comparison: Comparison) -> Iterator[Table]:
    if comparison.documented:
        yield _documented(comparison)
    if comparison.fields:
        yield _fields(comparison)
    if comparison.news:
        yield _problems(comparison)


def _documented(comparison: Comparison) -> Table:
    table = Table("documented", "requests", "reason")
    for name, count, reason in comparison.documented:
        table.add_row(name, str(count), reason)
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
    table = Table("request", "differing fields", "answered by")
    for finding in comparison.news[:_ROWS]:
        target = Text(finding.request.target, overflow="fold")
        table.add_row(target, Text(names_of(finding)), str(finding.answered))
    if len(comparison.news) > _ROWS:
        table.add_row(f"and {len(comparison.news) - _ROWS} more", "", "")
    return table


def names_of(finding: Finding) -> str:
    """Return the names of the fields that differ, separated by commas; documented differences with their name."""
    return ", ".join(
        f"{each.field} ({each.documented})" if each.documented else each.field for each in finding.differences
    )


def to_json(comparison: Comparison) -> str:
    """Return everything but the thumbnails as JSON; an infinite PSNR is null."""
    speeds = {name: comparison.speeds(warm=warm) for name, warm in ROUNDS.items()}
    document = {
        "fine": comparison.fine,
        "counts": {outcome.value: comparison.counts[outcome] for outcome in Outcome},
        "different": {
            "documented": sum(bool(finding.documented) for finding in comparison.problems),
            "other": sum(finding.outcome is Outcome.DIFFERENT for finding in comparison.news),
        },
        "documented": {name: {"requests": count, "reason": why} for name, count, why in comparison.documented},
        "answered": {str(who): count for who, count in comparison.answered.most_common()},
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
        "answered": asdict(finding.answered),
        "differences": [
            {"field": each.field, "cantaloupe": each.cantaloupe, "sidecar": each.sidecar}
            for each in finding.differences
        ],
        "documented": sorted({each.documented for each in finding.differences} - {""}),
        "distance": distance,
        "seconds": {"cantaloupe": list(cantaloupe), "sidecar": list(sidecar)},
    }
