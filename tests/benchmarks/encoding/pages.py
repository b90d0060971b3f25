"""What docs/encoding.md shows of a run: tables, plots, and the command of each recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import log10
from statistics import median
from typing import Final

from tests.benchmarks.encoding.recipes import RECIPES
from tests.benchmarks.encoding.results import (
    EIGHTH,
    EXACT,
    FIRST,
    FULL,
    KNOWN,
    UNKNOWN,
    WHOLE,
    Case,
    Fetch,
    Results,
)
from tests.benchmarks.figures import Chart, Report, number

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The head and the rows."""
MB: Final = 1e6
LOSSLESS: Final = "lossless"
LESS: Final = "less is better"


def work(results: Results) -> Table:
    """Return what each file is, and what serving it from a disk costs."""
    base = results.reference
    head = ("", "bits a pixel", "PSNR, of JPEG tiles", "tile 1:1, ms", "1:8, ms", "1:1, all bits, ms")
    rows = [
        (
            case.recipe,
            number(8 * case.size / results.pixels),
            f"{psnr(case.error)}, {psnr(case.jpeg_error)}",
            *(beside(case, kind, base) for kind in (FULL, EIGHTH, EXACT, WHOLE)),
            number(case.milliseconds(FIRST)),
        )
        for case in results.cases
    ]
    return (*head, "1024 px wide, ms", "first tile, ms"), rows


def far(results: Results) -> Table:
    """Return what a tile of each file takes from an object store: rounds of waiting, and MB."""
    kinds = [f"{kind}, {known}" for kind in (FULL, EIGHTH) for known in (UNKNOWN, KNOWN)]
    rows = [(case.recipe, *(fetched(case.fetches[kind]) for kind in kinds)) for case in results.cases]
    return ("", *(f"{kind}: rounds, MB" for kind in kinds)), rows


def commands() -> Table:
    """Return the command of each recipe."""
    return ("recipe", "command"), [(recipe.title, f"`{recipe.command}`") for recipe in RECIPES]


def machine(results: Results) -> str:
    """Return when and where it was measured."""
    left_out = (
        f" Not measured, since the encoder was not there: {'; '.join(results.missing)}." if results.missing else ""
    )
    return f"Measured on {results.when}: {results.machine}.{left_out}"


def report(results: Results) -> Report:
    """Return the figures for the terminal."""
    columns, rows = work(results)
    chart = Chart("ms of processor time", *_bars(results.cases))
    return Report("Encodings of one photograph", columns, rows, chart, notes=[machine(results)])


def plots(results: Results) -> Iterator[tuple[str, Report]]:
    """Yield the file name and the content of each plot of the page."""
    recipes, series = _bars(results.cases)
    sizes = {
        known: [_typical(case.fetches[f"{FULL}, {known}"], lambda fetch: fetch.size / MB) for case in results.cases]
        for known in (KNOWN, UNKNOWN)
    }
    work_chart, far_chart = Chart(f"ms, {LESS}", recipes, series), Chart(f"MB, {LESS}", recipes, sizes)
    yield "encoding-work.svg", Report("Processor time of a tile", (), (), work_chart)
    yield "encoding-far.svg", Report("Fetched for a tile at 1:1 from an object store", (), (), far_chart)


def _bars(cases: Sequence[Case]) -> tuple[Sequence[str], dict[str, Sequence[float]]]:
    series = {kind: [case.milliseconds(kind) for case in cases] for kind in (FULL, EIGHTH)}
    return [case.recipe for case in cases], {**series}


def psnr(error: float) -> str:
    """Return decibels."""
    return f"{10 * log10(255**2 / error):.1f}" if error else LOSSLESS


def beside(case: Case, kind: str, base: Case) -> str:
    """Return milliseconds, and how many times those of the base they are."""
    times = "" if case is base else f" ({number(case.ratio(kind, base))})"
    return f"{number(case.milliseconds(kind))}{times}"


def fetched(fetches: Sequence[Fetch]) -> str:
    """Return rounds of waiting, and MB."""
    if not fetches:
        return "handed over"
    rounds = max(fetch.rounds for fetch in fetches)
    return f"{rounds}, {number(_typical(fetches, lambda fetch: fetch.size / MB))}"


def _typical(fetches: Sequence[Fetch], what: Callable[[Fetch], float]) -> float:
    return median(map(what, fetches)) if fetches else float("nan")
