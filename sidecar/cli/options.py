"""Options that subcommands share, and what is read first: light, since every `sidecar` imports it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sidecar import startup

TomlFile = Annotated[
    Path | None, typer.Option("--config", envvar=startup.TOML, metavar="FILE", help="Settings, as TOML.")
]
CantaloupeFile = Annotated[
    Path | None,
    typer.Option(envvar=startup.CANTALOUPE, metavar="FILE", help="A Cantaloupe's own settings, below all others."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


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
