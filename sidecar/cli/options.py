"""Options that subcommands share, and what is read first: light, since every `sidecar` imports it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from sidecar import startup

ROOT: Final = "SIDECAR_FILESYSTEM_ROOT"
"""Of the plugin filesystem, which most have; the core itself knows no storage."""
TomlFile = Annotated[
    Path | None, typer.Option("--config", envvar=startup.TOML, metavar="FILE", help="Settings, as TOML.")
]
CantaloupeFile = Annotated[
    Path | None,
    typer.Option(envvar=startup.CANTALOUPE, metavar="FILE", help="A Cantaloupe's own settings, below all others."),
]
Bind = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Where to listen, as 127.0.0.1:8183; over SIDECAR_BIND.")
]
Workers = Annotated[int | None, typer.Option(metavar="NUMBER", help="Worker processes; over SIDECAR_WORKERS.")]
Root = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The folder of the images; over SIDECAR_FILESYSTEM_ROOT.", resolve_path=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def name_files(config: Path | None, cantaloupe_config: Path | None) -> None:
    """Let the files of options be those that settings are read from, here and in workers."""
    for variable, path in ((startup.TOML, config), (startup.CANTALOUPE, cantaloupe_config)):
        if path is not None:
            # Workers find it here, whatever their working directory.
            os.environ[variable] = str(path.resolve())


def name_values(bind: str | None, workers: int | None, root: Path | None) -> None:
    """Let options be the variables that settings are read from, here and in workers."""
    options = {"SIDECAR_BIND": bind, "SIDECAR_WORKERS": workers, ROOT: root}
    os.environ.update({variable: str(value) for variable, value in options.items() if value is not None})


def set_up(config: Path | None, cantaloupe_config: Path | None) -> startup.Setup:
    """Find the plugins and read every setting; prints warnings. Raises StartError."""
    name_files(config, cantaloupe_config)
    found = startup.setup()
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return found
