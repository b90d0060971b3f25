"""The command `sidecar doctor`: all examinations, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import typer

from sidecar import startup
from sidecar.cli.check import contradictions
from sidecar.cli.console import pairs, print_json, say
from sidecar.cli.doctor import delegate, folders, reach, system
from sidecar.cli.doctor.finding import Examination, Finding, State, examined
from sidecar.cli.doctor.nginx import nginx
from sidecar.cli.setting_up import service_of
from sidecar.config import core
from sidecar.errors import StartError
from sidecar.limits.threads import NativePool
from sidecar.observability import logging
from sidecar.server.rehearsal import rehearse

_COLORS: Final = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}
_STATE: Final = 9
"""Columns of a state and the space after it."""


def execute(nginx_file: Path | None, identifier: str | None, *, json: bool) -> int:
    """Examine everything; returns the exit status."""
    logging.configure("error", "text")
    found = [*examine(nginx_file, identifier)]
    if json:
        print_json(found)
    else:
        show(found)
    return 1 if any(each.state == "problem" for each in found) else 0


def examine(nginx_file: Path | None = None, identifier: str | None = None) -> Iterator[Finding]:
    """Yield what all examinations find."""
    try:
        found = startup.setup()
    except StartError as error:
        for line in str(error).splitlines():
            yield Finding("settings", "problem", line, "correct it; `sidecar check` says whether more is wrong")
        return
    settings = core(found.config)
    for warning in (*found.warnings, *contradictions(settings)):
        yield Finding("settings", "warning", warning, "correct or remove it")
    pool = NativePool(settings.native_threads)
    try:
        registry = found.plugins.load(found.config, pool)
        rehearse()
    except (StartError, OSError) as error:
        for line in str(error).splitlines():
            yield Finding("settings", "problem", line, "correct it: a worker cannot start")
        return
    yield Finding("settings", "ok", "read, and a worker can start with them; `sidecar config` lists them")
    service = service_of(settings, registry, pool)
    examinations: dict[str, Examination] = {
        "rights": system.user,
        "libraries": partial(system.libraries, found.plugins.found),
        "allocator": system.allocator,
        "limits": partial(system.limits, settings),
        "fleet": partial(system.fleet, settings, service.fitting_pixels),
        "sandbox": partial(system.sandbox, settings),
        "clock": system.clock,
        "folders": lambda: (*folders.folders(found.plugins.folders(found.config)), *folders.shared()),
        "sources": partial(reach.sources, registry.sources),
        "indexes": partial(reach.stores, registry.decoders),
        "delegate": partial(delegate.script, found.script, settings),
        "Cantaloupe": partial(reach.cantaloupe, settings.cantaloupe_url),
        "nginx": partial(nginx, nginx_file, settings, registry.decoders),
        "server": partial(reach.itself, settings),
    }
    if identifier is not None:
        examinations["image"] = partial(reach.image, service, identifier)
    for subject, examination in examinations.items():
        yield from examined(subject, examination)
    registry.close()
    pool.close()


def show(found: Iterable[Finding]) -> None:
    """Print findings, those of one subject together, and how many of them need something done."""
    every = [*found]
    subjects = dict.fromkeys(each.subject for each in every)
    for subject, group in groupby(sorted(every, key=lambda each: [*subjects].index(each.subject)), _subject):
        for number, each in enumerate(group):
            _show(each, "" if number else subject)
    counts = {state: sum(each.state == state for each in every) for state in _COLORS}
    say()
    worst: State = "problem" if counts["problem"] else "warning" if counts["warning"] else "ok"
    say(f"{_count(counts['problem'], 'problem')}, {_count(counts['warning'], 'warning')}", _COLORS[worst], bold=True)


def _show(finding: Finding, label: str) -> None:
    remedy = [("", f"→ {finding.remedy}")] if finding.remedy else []
    pairs([(finding.state, finding.text), *remedy], label, width=_STATE, color=_COLORS[finding.state])


def _subject(finding: Finding) -> str:
    return finding.subject


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
