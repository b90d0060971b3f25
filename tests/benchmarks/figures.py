"""What a benchmark says: a table, what must hold, and what to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Row: TypeAlias = Sequence[str | float]


@dataclass(frozen=True, slots=True)
class Must:
    """Something that must not be exceeded."""

    what: str
    value: float
    limit: float
    unit: str = ""

    @property
    def kept(self) -> bool:
        """Whether it holds."""
        return self.value <= self.limit

    def __str__(self) -> str:
        return (
            f"{'kept' if self.kept else 'MISSED'}: {self.what}: {number(self.value)} ≤ {number(self.limit)}{self.unit}"
        )


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars in groups: for each case one of every series."""

    unit: str
    cases: Sequence[str]
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one benchmark."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    chart: Chart
    musts: Sequence[Must] = ()
    notes: Sequence[str] = field(default=())


def number(value: str | float) -> str:
    """Three significant digits, whole numbers whole."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown(report: Report) -> str:
    """The report as it can stand in a page."""
    lines = [report.columns, ["---"] * len(report.columns), *report.rows]
    table = "\n".join("| " + " | ".join(map(number, line)) + " |" for line in lines)
    below = "\n".join(f"- {line}" for line in (*map(str, report.musts), *report.notes))
    return f"### {report.title}\n\n{table}\n\n{below}\n"
