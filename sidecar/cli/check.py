"""`sidecar check`: whether a start or a reload would succeed, and which settings contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import typer

from sidecar import startup
from sidecar.cli.console import print_json, size
from sidecar.config import Settings, core
from sidecar.errors import StartError
from sidecar.limits import memory_limit
from sidecar.server.rehearsal import rehearse


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with the settings, a line each that begins with the variable."""

    problems: Sequence[str]
    """Why a worker cannot start."""
    warnings: Sequence[str]
    """What is read, and will not do what was meant, or nothing."""


def execute(*, json: bool) -> int:
    """Check everything that a start does; returns the exit status."""
    found = verdict()
    if json:
        print_json(found)
    else:
        _show(found)
    return 1 if found.problems else 0


def verdict() -> Verdict:
    """Read all settings, load all plugins and libraries, and make a worker's application."""
    try:
        found = startup.setup()
    except StartError as error:
        return Verdict(str(error).splitlines(), [])
    warnings = [*found.warnings, *contradictions(core(found.config))]
    try:
        rehearse()
    except (StartError, OSError) as error:
        return Verdict(str(error).splitlines(), warnings)
    except Exception as error:  # noqa: BLE001  # whatever a plugin does
        return Verdict([f"a plugin failed: {type(error).__name__}: {' '.join(str(error).split())}"], warnings)
    return Verdict([], warnings)


def contradictions(settings: Settings) -> Iterator[str]:
    """Yield what does not fit together, though each value by itself is right."""
    first, queue, total = settings.first_byte_timeout, settings.queue_timeout, settings.total_timeout
    if first <= queue:
        yield (
            f"SIDECAR_FIRST_BYTE_TIMEOUT: {first:g} is not more than SIDECAR_QUEUE_TIMEOUT={queue:g}: requests are "
            "handed over while they still wait for memory"
        )
    if total < first:
        yield f"SIDECAR_TOTAL_TIMEOUT: {total:g} is less than SIDECAR_FIRST_BYTE_TIMEOUT={first:g}, which never applies"
    there = memory_limit.total()
    if settings.memory_bytes * settings.workers > there:
        yield (
            f"SIDECAR_MEMORY_BYTES: {size(settings.memory_bytes)} for each of {settings.workers} workers is more than "
            f"the {size(there)} that there are"
        )
    if settings.memory_bytes and settings.request_memory_bytes > settings.memory_bytes:
        yield (
            f"SIDECAR_REQUEST_MEMORY_BYTES: {size(settings.request_memory_bytes)} for one response is more than "
            f"SIDECAR_MEMORY_BYTES={settings.memory_bytes} for all"
        )
    if settings.cantaloupe_url and urlsplit(settings.cantaloupe_url).scheme not in ("http", "https"):
        yield f"SIDECAR_CANTALOUPE_URL: {settings.cantaloupe_url!r} is not http://host:port; handovers will fail"


def _show(found: Verdict) -> None:
    for line in found.warnings:
        typer.echo(f"{typer.style('warning', fg=typer.colors.YELLOW)}: {line}", err=True)
    for line in found.problems:
        typer.echo(f"sidecar: {typer.style(line, fg=typer.colors.RED)}", err=True)
    if not found.problems:
        typer.echo("settings, plugins and libraries are right")
