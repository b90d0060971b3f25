"""The HTML report: one page that loads no other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jinja2

from sidecar_compare.comparison import PAGE_BYTES, Comparison
from sidecar_compare.findings import Finding, Outcome
from sidecar_compare.images import Thumbnails
from sidecar_compare.report import ABOUT_TIMES, ROUNDS, names_of, parts_of

_LISTED = 500
"""The most requests with problems that the page lists."""
_FIELDS = 100
_SHORT = 300
"""The most characters of a URL or a value that the page shows."""


def short(text: str) -> str:
    """Return a text, cut if it is long."""
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _fitting(comparison: Comparison, bases: Sequence[str]) -> Iterator[tuple[Finding, Thumbnails]]:
    """Yield the worst image pairs as long as the page has room for them."""
    left = PAGE_BYTES
    for finding, thumbnails in comparison.worst:
        left -= thumbnails.size + sum(len(base) + len(finding.request.target) for base in bases)
        if left < 0:
            return
        yield finding, thumbnails


def to_html(comparison: Comparison, bases: Sequence[str]) -> str:
    """Return the page; `bases` are the URLs of Cantaloupe and of the sidecar, which its links begin with."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sidecar_compare"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    rounds = [(name, speeds) for name, warm in ROUNDS.items() if (speeds := comparison.speeds(warm=warm))]
    return environment.get_template("page.html").render(
        comparison=comparison,
        outcomes=[(outcome, comparison.counts[outcome]) for outcome in Outcome],
        rounds=rounds,
        slowest=max((speed.p95 for _, speeds in rounds for speed in speeds), default=1.0),
        parts=parts_of(comparison),
        worst=[*_fitting(comparison, bases)],
        listed=comparison.news[:_LISTED],
        bases=bases,
        listed_fields=_FIELDS,
        names_of=names_of,
        note=ABOUT_TIMES,
    )
