"""A comparison as one HTML page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from sidecar.compare.comparison import Comparison
from sidecar.compare.report import COLD_AND_WARM, fields_of
from sidecar.compare.verdicts import Outcome

_ROUNDS = (("first time", False), ("again", True))
_LISTED = 500
"""Requests that are not fine, listed at most."""


def to_html(comparison: Comparison, bases: Sequence[str]) -> str:
    """The page; `bases` are the URLs of Cantaloupe and of the sidecar, for links."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sidecar.compare", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rounds = [(name, speeds) for name, warm in _ROUNDS if (speeds := comparison.speeds(warm=warm))]
    return environment.get_template("page.html").render(
        comparison=comparison,
        outcomes=[(outcome, comparison.counts[outcome]) for outcome in Outcome],
        rounds=rounds,
        slowest=max((speed.p95 for _, speeds in rounds for speed in speeds), default=1.0),
        listed=comparison.troubled[:_LISTED],
        bases=bases,
        fields_of=fields_of,
        note=COLD_AND_WARM,
    )
