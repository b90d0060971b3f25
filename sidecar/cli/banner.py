"""What `sidecar serve` says of itself before it serves: text on a terminal, else one line of the log."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import typer

import sidecar
from sidecar.cli.health import reachable
from sidecar.config import Settings, core
from sidecar.limits import memory_limit
from sidecar.observability import logging
from sidecar.observability.redaction import redacted
from sidecar.registry import Registry
from sidecar.startup import Setup

_GIVEN: Final = "LISTEN_FDS"
"""Set by systemd, which has opened the sockets (sd_listen_fds(3))."""
_PAGE: Final = "/sidecar/"


@dataclass(frozen=True, slots=True)
class Start:
    """What is about to run."""

    version: str
    plugins: Sequence[str]
    sources: Sequence[str]
    folders: Sequence[str]
    """Those that images and what belongs to them are read from."""
    workers: int
    memory_bytes: int
    """Of all workers, for responses and what is kept between them."""
    listens: str
    cantaloupe: str
    """Without secrets; empty if none is known here."""
    status_page: str
    """Its URL; empty if it has none, or nobody may see it."""


def start_of(found: Setup, registry: Registry) -> Start:
    """Return what is about to run. Raises StartError if a plugin's folders are not there."""
    settings = core(found.config)
    folders = (each.path for each in found.plugins.folders(found.config) if not each.writable)
    return Start(
        sidecar.__version__,
        [each.name for each in found.plugins.found],
        [each.name for each in registry.sources],
        [str(path.resolve()) for path in folders if path.is_dir()],
        settings.workers,
        memory_limit.budget(settings.memory_bytes, settings.workers) * settings.workers,
        "the sockets of systemd" if os.environ.get(_GIVEN) else settings.bind,
        redacted(settings.cantaloupe_url),
        _status_page(settings),
    )


def show(start: Start, settings: Settings) -> None:
    """Say it on standard error, where the log goes too."""
    if sys.stderr.isatty():
        typer.echo(_text(start), err=True)
        return
    logging.configure(settings.log_level, settings.log_format)
    logging.log.info("starting", **asdict(start))


def _text(start: Start) -> str:
    workers = "worker" if start.workers == 1 else "workers"
    rows = {
        "plugins": " ".join(start.plugins) or "none",
        "images": ", ".join([*start.sources, *start.folders]) or "no source is set up",
        "memory": f"{start.memory_bytes / 1e9:.1f} GB for responses, in {start.workers} {workers}",
        "listens": start.listens,
        "Cantaloupe": start.cantaloupe or "none is set; nginx may know one",
        "status": start.status_page or "no page",
    }
    head = typer.style(f"iiif-sidecar {start.version}", bold=True)
    return "\n".join([head, *(f"  {typer.style(f'{name:<11}', dim=True)}{text}" for name, text in rows.items())])


def _status_page(settings: Settings) -> str:
    address = settings.bind.split(",")[0].strip()
    if not settings.status_networks or address.startswith(("unix:", "fd:")):
        return ""
    host, port = reachable(address)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{_PAGE}"
