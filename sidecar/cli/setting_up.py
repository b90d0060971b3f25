"""What subcommands begin with: the two files that settings come from, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sidecar import startup
from sidecar.config import Settings, core
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.observability import logging
from sidecar.registry import Registry
from sidecar.render.service import ImageService
from sidecar.server.application import make_service

TomlFile = Annotated[
    Path | None, typer.Option("--config", envvar=startup.TOML, metavar="FILE", help="Settings, as TOML.")
]
CantaloupeFile = Annotated[
    Path | None,
    typer.Option(envvar=startup.CANTALOUPE, metavar="FILE", help="A Cantaloupe's own settings, below all others."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that a worker has, but for its server."""

    setup: startup.Setup
    registry: Registry
    service: ImageService


def name_files(config: Path | None, cantaloupe_config: Path | None) -> None:
    """Let the files of options be those that settings are read from, here and in workers."""
    for variable, path in ((startup.TOML, config), (startup.CANTALOUPE, cantaloupe_config)):
        if path is not None:
            # Workers find it here, whatever their working directory.
            os.environ[variable] = str(path.resolve())


def set_up(config: Path | None, cantaloupe_config: Path | None) -> startup.Setup:
    """Find the plugins and read every setting; prints warnings. Raises StartError."""
    name_files(config, cantaloupe_config)
    found = startup.setup()
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return found


def service_of(settings: Settings, registry: Registry, pool: NativePool) -> ImageService:
    """Return the image service of a worker that knows of no crashes."""
    return make_service(settings, registry, pool, Quarantine())


@contextmanager
def loaded(config: Path | None, cantaloupe_config: Path | None) -> Iterator[Loaded]:
    """Make the image service as a worker does; its log shows errors only. Raises StartError."""
    found = set_up(config, cantaloupe_config)
    settings = core(found.config)
    logging.configure("error", "text")
    pool = NativePool(settings.threads, stall=settings.stall_timeout)
    try:
        registry = found.plugins.load(found.config, pool)
        try:
            yield Loaded(found, registry, service_of(settings, registry, pool))
        finally:
            registry.close()
    finally:
        pool.close()
