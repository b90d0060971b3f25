"""Reports as pictures."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.benchmarks.figures import Report, number

BAR = 0.28
"""Inches of height for each bar."""


def draw(report: Report, path: Path) -> None:
    """Write horizontal bars in groups, the case's name beside each group, as SVG or PNG by the path's suffix.

    There is no bar for NaN.
    """
    chart = report.chart
    bars = len(chart.series)
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": report.title, "font.size": 9}):
        figure = Figure((8, 1.2 + BAR * len(chart.cases) * (bars + 1)), layout="constrained")
        axes = figure.add_subplot()
        for place, (name, values) in enumerate(chart.series.items()):
            at = [case * (bars + 1) + place for case in range(len(chart.cases))]
            drawn = axes.barh(at, values, height=0.9, label=name)
            axes.bar_label(drawn, ["" if isnan(value) else number(value) for value in values], padding=3, fontsize=8)
        axes.set_yticks([case * (bars + 1) + (bars - 1) / 2 for case in range(len(chart.cases))], chart.cases)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel(chart.unit)
        axes.set_title(report.title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        if bars > 1:
            figure.legend(frameon=False, loc="outside lower center", ncols=bars)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
