"""`sidecar explain`: what would become of a request, and why."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

import typer

from sidecar.cli import nginx_site
from sidecar.cli.console import field, pairs, print_json, say, size
from sidecar.cli.reasons import meaning, status_alone
from sidecar.cli.setting_up import Loaded, loaded
from sidecar.config import core
from sidecar.errors import StartError
from sidecar.http.asking import Question
from sidecar.http.forecast import Forecast, Run, run, settled
from sidecar.render.cost import Cost, summed

_PATIENCE: Final = 30.0
"""Seconds that decoders may take to learn what they learn while they are idle."""
_COLORS: Final = {"answered": typer.colors.GREEN, "handover": typer.colors.YELLOW, "refused": typer.colors.RED}
_STATUS: Final = {"answered": 0, "handover": 3, "refused": 4}
_SHOWN: Final = ("etag", "last-modified", "cache-control", "location", "content-type")
"""Headers that people ask for."""


class Explanation(NamedTuple):
    """What is known of a request."""

    forecast: Forecast
    nginx_takes: bool
    """Whether nginx, with the site of `sidecar nginx`, sends it to the sidecar."""
    run: Run | None


def execute(url: str, header: Sequence[str], *, do: bool, alone: bool, json: bool) -> int:
    """Explain a request; returns the exit status. Raises StartError."""
    question = Question(url, _headers(header), has_cantaloupe=not alone)
    with loaded() as tools:
        found = settled(tools.service, question, _PATIENCE)
        explained = Explanation(found, taken(tools, found.target), run(tools.service, question) if do else None)
    if json:
        print_json(explained._asdict())
    else:
        show(explained, alone=alone)
    return _STATUS[found.outcome]


def taken(tools: Loaded, target: str) -> bool:
    """Return whether nginx sends a GET to the sidecar, with the site that `sidecar nginx` writes."""
    site = nginx_site.site_of(core(tools.setup.config), tools.registry.decoders)
    return nginx_site.takes(site, "GET", target)


def show(explained: Explanation, *, alone: bool) -> None:
    """Print an explanation."""
    found = explained.forecast
    say(found.target, bold=True)
    say()
    _show_outcome(found, alone=alone)
    if not alone:
        takes = (
            "sends it to the sidecar" if explained.nginx_takes else "sends it to Cantaloupe at once: no suffix of ours"
        )
        field("nginx", takes)
    if found.image:
        field("image", f"{found.image}, {size(found.file_bytes)}, found by the source {found.source}", found.path)
    field("decoder", found.decoder)
    if found.cost is not None:
        _show_cost(found.cost, found.encoder)
    if found.learning:
        field("learning", "a decoder is still measuring what may be left out; a worker that has run for a while knows")
    pairs([(name, found.headers[name]) for name in _SHOWN if name in found.headers], "headers")
    field("found out", f"in {found.milliseconds:g} ms, the opening of the image included")
    if explained.run is not None:
        _show_run(explained.run)


def _show_outcome(found: Forecast, *, alone: bool) -> None:
    color = _COLORS[found.outcome]
    if found.outcome == "answered":
        field("answered", f"by the sidecar, {found.status} {HTTPStatus(found.status).phrase}", color=color)
        return
    who = "handed over" if found.outcome == "handover" else "refused"
    field(who, found.reason if found.outcome == "handover" else f"{found.status}, {found.reason}", color=color)
    field("because", found.problem, f"{found.reason}: {meaning(found.reason)}")
    if found.outcome == "handover":
        field("without", f"a Cantaloupe the status would be {status_alone(found.reason)}")
    elif not alone:
        field("", "Cantaloupe is not asked.")


def _show_cost(cost: Cost, encoder: str) -> None:
    crop = f"{cost.crop.x},{cost.crop.y},{cost.crop.width},{cost.crop.height}"
    level = f"{cost.level_size.width} x {cost.level_size.height}"
    field(
        "level",
        f"{cost.level}, at 1:{cost.downsample:g} of {cost.image.width} x {cost.image.height}: {crop} of {level}",
    )
    field("response", f"{encoder} of {cost.size.width} x {cost.size.height}{_made_of(cost)}")
    if cost.stored:
        field("windows", "none: nothing is decoded or encoded")
    else:
        _show_windows(cost)
    ranges = sum(window.ranges for window in cost.windows)
    if ranges:
        field("reads", f"{cost.window_bytes:,} bytes in {'1 range' if ranges == 1 else f'{ranges:,} ranges'}")
    else:
        field("reads", "what its library takes out of the file, which is not known before (--run measures it)")
    pairs([(fact.name, fact.value) for fact in summed(cost.windows)], "decodes")
    field("memory", f"{size(cost.peak_bytes)} promised; one response may have {size(cost.limit_bytes)}")
    if cost.decode_seconds:
        field("time", f"{cost.decode_seconds:.2g} s of one processor for decoding at most, the decoder states")


def _made_of(cost: Cost) -> str:
    """Return how the response comes out of the level."""
    if cost.stored:
        return ": a tile that is passed on as the file holds it"
    steps = f" after {', '.join(cost.steps)}" if cost.steps else ""
    return steps + ("" if cost.tolerance.exact else f", whose quality {cost.tolerance.quality} hides small errors")


def _show_windows(cost: Cost) -> None:
    bands = "1 band" if cost.bands == 1 else f"{cost.bands} bands"
    many = "1 window" if len(cost.windows) == 1 else f"{len(cost.windows)} windows"
    kind = "large: sent while it is made" if cost.large else "small: made whole, then sent"
    field("windows", f"{many} in {bands}, {cost.pixels:,} pixels to decode; {kind}")


def _show_run(made: Run) -> None:
    say()
    field(
        "made",
        f"{made.status}, {size(made.body_bytes)} in {made.milliseconds:g} ms, {made.processor:g} ms of processor time; "
        f"the first bytes after {made.first_byte:g} ms",
    )
    pairs([(stage, f"{time:g} ms") for stage, time in made.stages.items()], "stages")
    field("read", f"{made.fetched_bytes:,} bytes in ranges; {made.system_read_bytes:,} by the whole process")


def _headers(lines: Sequence[str]) -> dict[str, str]:
    """Return headers by name. Raises StartError for what is none."""
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise StartError(f"--header: {line!r} is not `Name: value`")
        found[name.strip()] = value.strip()
    return found
