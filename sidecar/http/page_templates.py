"""The templates of the sidecar's own pages, and how numbers are written in them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from sidecar.observability.work import STAGES

if TYPE_CHECKING:
    import jinja2

_WIDTH: Final = 1000.0
"""Of a drawing of stages, in units of its own."""
_LEAST: Final = 4.0
"""Width at which a stage can be seen."""
_SECOND, _FINE = 1000, 10
"""Milliseconds; below the latter a tenth matters."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIBI: Final = 1024


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage of a request, as it is drawn: from its first beginning to its last end."""

    stage: str
    row: int
    x: float
    width: float
    text: str


def bars(record: Mapping[str, Any]) -> Iterator[Bar]:
    """Return the bars of a request, whose whole time is as wide as the drawing; each in the row of its stage."""
    whole = max(float(record["milliseconds"]), 0.1)
    for stage, began, ended in record["stages"]:
        # What was decoded for several requests may have begun before this one.
        first = max(began, 0.0)
        x = min(first / whole * _WIDTH, _WIDTH - _LEAST)
        width = min(max((ended - first) / whole * _WIDTH, _LEAST), _WIDTH - x)
        text = f"{stage} {duration(ended - began)} from {duration(began)}"
        yield Bar(stage, [*STAGES].index(stage), round(x, 1), round(width, 1), text)


def duration(milliseconds: float) -> str:
    """Return a time as people read it: with a unit, and no more digits than matter."""
    if milliseconds < _SECOND:
        return f"{milliseconds:.{0 if milliseconds >= _FINE else 1}f} ms"
    seconds = milliseconds / _SECOND
    for size, unit, smaller, letter in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // smaller)} {letter}"
    return f"{seconds:.1f} s"


def size(count: float) -> str:
    """Return a number of bytes with a binary unit."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < _KIBI:  # IEC 80000-13
            return f"{amount:.0f} {unit}"
        amount /= _KIBI
    return f"{amount:.1f} GiB"


def clock(seconds: float) -> str:
    """Return a time since 1970 as UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + " UTC"


class Templates:
    """The pages' templates, compiled when the first page is asked for: a start has no time for pages."""

    def __init__(self, mark: str = "") -> None:
        """Read them: afterwards no file of theirs is read. `mark`: stands behind the names of assets."""
        self._mark = mark
        folder = files("sidecar.http").joinpath("templates")
        self._sources = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file()}

    @cached_property
    def _environment(self) -> jinja2.Environment:
        import jinja2  # noqa: PLC0415  # it takes as long as some plugins, and most processes show no page

        made = jinja2.Environment(
            loader=jinja2.DictLoader(self._sources),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.filters |= {"duration": duration, "size": size, "clock": clock, "bars": bars}
        made.globals["mark"] = self._mark
        return made

    def render(self, name: str, **values: object) -> str:
        """Return a page."""
        return self._environment.get_template(name).render(values)
