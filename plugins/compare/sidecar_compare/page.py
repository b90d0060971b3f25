"""The HTML report: one page that loads no other file."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from sidecar_compare.comparison import Comparison
from sidecar_compare.findings import Outcome
from sidecar_compare.report import ABOUT_TIMES, ROUNDS, names_of

_LISTED = 500
"""The most requests with problems that the page lists."""


def to_html(comparison: Comparison, bases: Sequence[str]) -> str:
    """Return the page; `bases` are the URLs of Cantaloupe and of the sidecar, which its links begin with."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sidecar_compare"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rounds = [(name, speeds) for name, warm in ROUNDS.items() if (speeds := comparison.speeds(warm=warm))]
    return environment.get_template("page.html").render(
        comparison=comparison,
        outcomes=[(outcome, comparison.counts[outcome]) for outcome in Outcome],
        rounds=rounds,
        slowest=max((speed.p95 for _, speeds in rounds for speed in speeds), default=1.0),
        listed=comparison.problems[:_LISTED],
        bases=bases,
        names_of=names_of,
        note=ABOUT_TIMES,
    )
