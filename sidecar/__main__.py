"""The command `sidecar`: run it, and see what is loaded and what is set."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sidecar import startup
from sidecar.compare.command import compare
from sidecar.errors import StartError
from sidecar.memory import ALLOCATOR
from sidecar.native import direct
from sidecar.registry import Registry

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

TomlFile = Annotated[
    Path | None, typer.Option("--config", envvar=startup.TOML, metavar="FILE", help="Settings, as TOML.")
]
CantaloupeFile = Annotated[
    Path | None,
    typer.Option(envvar=startup.CANTALOUPE, metavar="FILE", help="A Cantaloupe's own settings, below all others."),
]


@cli.command()
def serve(config: TomlFile = None, cantaloupe_config: CantaloupeFile = None) -> None:
    """Run the sidecar until it is stopped. What is wrong with settings or libraries is told before anything starts."""
    registry = _load(_setup(config, cantaloupe_config))
    if not registry.sources:
        typer.echo("warning: no source is set up, so no image will be found; see `sidecar config`", err=True)
    registry.close()
    # A new process image: the allocator reads its environment, where what the operator has set stays, and gunicorn
    # forks while no native library is loaded.
    arguments = [sys.executable, "-m", "gunicorn", "--config", "python:sidecar.gunicorn_conf"]
    os.execve(sys.executable, arguments, {**ALLOCATOR, **os.environ})  # noqa: S606  # no shell is wanted


@cli.command("plugins")
def show_plugins(config: TomlFile = None, cantaloupe_config: CantaloupeFile = None) -> None:
    """List the plugins that are loaded and what each adds."""
    found = _setup(config, cantaloupe_config)
    registry = _load(found)
    for plugin in found.plugins.found:
        typer.echo(f"{plugin.name:<12} {plugin.version:<10} {plugin.package}")
    typer.echo("\nsources   " + (" ".join(source.name for source in registry.sources) or "none is set up"))
    for name in sorted({decoder.name for decoder in registry.decoders.values()}):
        suffixes = sorted(suffix for suffix, decoder in registry.decoders.items() if decoder.name == name)
        typer.echo(f"decodes   {name}: {' '.join(suffixes)}")
    for factory in registry.encoders.values():
        typer.echo(f"encodes   {factory.format}: {factory.media_type}")
    registry.close()


@cli.command("config")
def show_config(config: TomlFile = None, cantaloupe_config: CantaloupeFile = None) -> None:
    """List every setting of the core and of the plugins: its value, where that came from, what it does."""
    found = _setup(config, cantaloupe_config).config
    for kind, section in found.sections.items():
        for name, field in kind.model_fields.items():
            origin = found.origins.get((kind.table, name), "default")
            typer.echo(f"{kind.variable(name)}={_written(getattr(section, name))}  ({origin})")
            typer.echo(f"    {' '.join((field.description or '').split())}")


cli.command()(compare)


def _setup(config: Path | None, cantaloupe_config: Path | None) -> startup.Setup:
    for variable, path in ((startup.TOML, config), (startup.CANTALOUPE, cantaloupe_config)):
        if path is not None:
            # Workers find it here, whatever their working directory.
            os.environ[variable] = str(path.resolve())
    found = startup.setup()
    for note in found.notes:
        typer.echo(f"warning: {note}", err=True)
    return found


def _load(found: startup.Setup) -> Registry:
    return found.plugins.load(found.config, direct)


def _written(value: object) -> str:
    """A value as it is written in its variable."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Run the command. What was told on purpose ends it with status 1 and no traceback."""
    try:
        cli()
    except StartError as error:
        sys.exit("\n".join(f"sidecar: {line}" for line in str(error).splitlines()))


if __name__ == "__main__":
    main()
