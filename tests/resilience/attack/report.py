"""What became of the attacks: lines while they run, and the table of docs/attacks.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.resilience.attack.attack import MB, Row

PAGE: Final = Path(__file__).parents[3] / "docs" / "attacks.md"
HEAD: Final = ("attack or fault", "tries", "expected", "outcome", "tiles of another image", "latest", "memory")
BETWEEN: Final = re.compile(r"(?<=<!-- attacks -->\n).*(?=<!-- /attacks -->)", re.DOTALL)


def printed(row: Row) -> str:
    """Return the lines of a row while attacks run."""
    watched = row.watched
    line = (
        f"{'held ' if row.held else 'BROKE'} {row.attack.kind:12}{row.attack.name:52}{row.outcome.tries:6,} tries "
        f"{row.seconds:5.1f} s; tiles {watched.asked}, latest {watched.latest * 1000:.0f} ms; "
        f"{row.memory / MB:.0f} of {row.limit / MB:.0f} MB"
    )
    return "\n".join([line, *(f"      {fault}" for fault in row.faults)])


def outcome(row: Row) -> str:
    """Return the outcome in the table's words."""
    return f"held: {row.outcome.text}" if row.held else f"**broke**: {'; '.join(row.faults)}"


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for row in rows:
        watched = row.watched
        lines.append(
            (
                row.attack.name,
                f"{row.outcome.tries:,}",
                row.attack.expected,
                outcome(row).replace("|", "\\|"),
                f"{watched.asked}: {watched.lost} lost, {watched.wrong} wrong",
                f"{watched.latest * 1000:.0f} ms",
                f"{row.memory / MB:.0f} of {row.limit / MB:.0f} MB",
            )
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(rows: Sequence[Row], page: Path = PAGE) -> None:
    """Put the table into the page."""
    text = page.read_text(encoding="utf-8")
    page.write_text(BETWEEN.sub(lambda _: table(rows), text), encoding="utf-8")
