"""Text for people, at most 100 columns wide: with colours on a terminal, plain in files and pipes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

import typer

from sidecar.http.json_values import as_json

WIDTH: Final = 100
_LABEL: Final = 13
"""Columns of a label and the space after it."""
_MEGA: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def print_json(value: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(as_json(value), indent=2, ensure_ascii=False))


def say(text: str = "", color: str | None = None, *, bold: bool = False) -> None:
    """Print lines of text, of which long ones are wrapped."""
    for line in _wrapped(text, WIDTH) if text else [""]:
        typer.echo(typer.style(line, fg=color, bold=bold) if color or bold else line)


def field(label: str, *texts: str, color: str | None = None) -> None:
    """Print a label and what belongs to it, each text beginning on a line of its own; nothing without texts."""
    lines = [line for text in texts for line in _wrapped(text, WIDTH - _LABEL)]
    for number, line in enumerate(lines):
        begin = typer.style(f"{'' if number else label:<{_LABEL}}", dim=True)
        typer.echo(f"{begin}{typer.style(line, fg=color) if color else line}")


def command(text: str) -> None:
    """Print a command line, in several lines that a shell takes as one."""
    *lines, last = textwrap.wrap(text, WIDTH - _LABEL - 4, break_long_words=False, break_on_hyphens=False)
    for line in (*(f"{line} \\" for line in lines), last):
        typer.echo(f"{'':<{_LABEL}}{line}")


def pairs(rows: Iterable[tuple[str, object]], label: str = "", *, width: int = 0, color: str | None = None) -> None:
    """Print names and values in two columns below a label; `width`: of the names, if not as wide as they are."""
    every = [(name, _shown(value)) for name, value in rows]
    width = width or min(44, max((len(name) for name, _ in every), default=0)) + 2
    for name, value in every:
        for number, line in enumerate(_wrapped(value, WIDTH - _LABEL - width) or [""]):
            first = f"{'' if number else name:<{width}}"
            begin = typer.style(f"{label:<{_LABEL}}", dim=True)
            typer.echo(f"{begin}{typer.style(first, fg=color) if color else first}{line}".rstrip())
            label = ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], shrink: int = 0) -> None:
    """Print a table, numbers to the right; the column `shrink` is cut short if it would be too wide."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    rest = sum(widths) - widths[shrink] + 2 * (len(widths) - 1)
    widths[shrink] = min(widths[shrink], max(8, WIDTH - rest))
    typer.echo(typer.style(_row(head, widths), bold=True).rstrip())
    for row in rows:
        typer.echo(_row(row, widths).rstrip())


def size(count: float) -> str:
    """Return a number of bytes, as `36.8 MB`."""
    for unit, name in _MEGA:
        if count >= unit:
            return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:,.0f} {name}"
    return f"{count:.0f} bytes"


def printable(text: str) -> str:
    """Return one line without what controls a terminal: names of images may be those that somebody else chose."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = (cell if len(cell) <= width else f"…{cell[1 - width :]}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(
        f"{cell:>{width}}" if cell[:1].isdigit() else f"{cell:<{width}}"
        for cell, width in zip(shown, widths, strict=True)
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap lines; words are never broken, so that paths and commands can be copied."""
    return [
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    ]
