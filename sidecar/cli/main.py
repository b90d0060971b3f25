"""The command `sidecar`: runs the server, and shows what is loaded and what is set."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import sidecar
from sidecar import startup
from sidecar.cli import banner, nginx_site, shipped_files, systemd_units, tools
from sidecar.cli.health import health
from sidecar.cli.nginx_fleet import fleet_of
from sidecar.cli.options import Bind, CantaloupeFile, Root, TomlFile, Workers, name_values, set_up
from sidecar.config import core, shown
from sidecar.errors import StartError
from sidecar.limits.memory_limit import ALLOCATOR
from sidecar.plugin import API_VERSION, run_inline
from sidecar.registry import Plugins, Registry
from sidecar.server import descriptors, sandbox, slots


def _show_version(value: bool) -> None:  # noqa: FBT001  # Typer passes the flag
    if value:
        typer.echo(f"iiif-sidecar {sidecar.__version__} (plugin API {API_VERSION})")
        raise typer.Exit


def common(
    _version: Annotated[  # noqa: FBT002  # Typer makes an option of it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run an image sidecar for Cantaloupe, and see what is loaded and what is set."""


def serve(
    config: TomlFile = None,
    cantaloupe_config: CantaloupeFile = None,
    bind: Bind = None,
    workers: Workers = None,
    root: Root = None,
) -> None:
    """Run the sidecar until it is stopped. Wrong settings or libraries are reported before anything starts.

    To try it out, without a file of settings: `sidecar serve --root /images`.
    """
    name_values(bind, workers, root)
    found = set_up(config, cantaloupe_config)
    if root is not None and not any(kind.table == "filesystem" for kind in found.config.sections):
        raise StartError("--root: the plugin that reads folders is missing; install iiif-sidecar-filesystem")
    settings = core(found.config)
    sandbox.check(settings.sandbox)
    slots.addresses(settings.bind, settings.worker_bind, settings.workers)
    registry = _load(found)
    if not registry.sources:
        typer.echo("warning: no source is set up, so no image will be found; see `sidecar config`", err=True)
    start = banner.start_of(found, registry)
    registry.close()
    descriptors.claim(settings)
    banner.show(start, settings)
    # A new process image: the allocator reads its environment, in which the operator's own values stay, and gunicorn
    # forks while no native library is loaded.
    arguments = [sys.executable, "-m", "sidecar.server.master", "--config", "python:sidecar.server.gunicorn_conf"]
    os.execve(sys.executable, arguments, {**ALLOCATOR, **os.environ})  # noqa: S606  # no shell is wanted


def show_plugins(config: TomlFile = None, cantaloupe_config: CantaloupeFile = None) -> None:
    """List the plugins that are loaded and what each adds."""
    found = set_up(config, cantaloupe_config)
    registry = _load(found)
    for plugin in found.plugins.found:
        typer.echo(f"{plugin.name:<12} {plugin.version:<10} {plugin.package}")
    typer.echo("\nsources   " + (" ".join(source.name for source in registry.sources) or "none is set up"))
    for decoder in registry.decoders:
        typer.echo(f"decodes   {decoder.name}: {' '.join(sorted(decoder.suffixes))}")
    for factory in registry.encoders.values():
        typer.echo(f"encodes   {factory.format}: {factory.media_type}")
    registry.close()


def show_config(config: TomlFile = None, cantaloupe_config: CantaloupeFile = None) -> None:
    """List every setting of the core and of the plugins: its value, its origin, its meaning."""
    found = set_up(config, cantaloupe_config).config
    for each in shown(found):
        typer.echo(f"{each.variable}={each.value}  ({each.origin})")
        typer.echo(f"    {each.meaning}")


def show_nginx(
    config: TomlFile = None,
    cantaloupe_config: CantaloupeFile = None,
    *,
    into: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the files there.")] = None,
    trust: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESSES", help="A balancer to believe, as 10.0.0.0/8; repeatable.")
    ] = None,
    tiff: Annotated[bool, typer.Option("--tiff", help="Send TIFFs to the sidecar, too.")] = False,
    every: Annotated[bool, typer.Option("--every", help="Send identifiers to it whatever their suffix.")] = False,
    host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A host with a sidecar of these settings; repeatable.")
    ] = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="A name whose SRV records list the hosts.")] = "",
    alone: Annotated[bool, typer.Option("--alone", help="There is no Cantaloupe behind.")] = False,
) -> None:
    """Print nginx's files for what is loaded and set, or write them."""
    found = set_up(config, cantaloupe_config)
    registry = _load(found)
    registry.close()
    settings = core(found.config)
    site = nginx_site.site_of(settings, registry.decoders, trust or (), tiff=tiff)
    site = replace(site, fleet=fleet_of(settings, host or (), service), alone=alone)
    shipped_files.show(nginx_site.files(replace(site, suffixes=()) if every else site), into)


def show_systemd(
    config: TomlFile = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the files there; in /etc they are where they belong.")
    ] = None,
) -> None:
    """Print the files of systemd for this installation and what is set, or write them.

    A file of variables that is there already, `sidecar/sidecar.env`, is left as it is.
    """
    bind = core(set_up(config, None).config).bind
    systemd_units.show(systemd_units.files(systemd_units.installed(), config.resolve() if config else None, bind), into)


def make_cli(plugins: Plugins) -> typer.Typer:
    """Return the command line: the core's subcommands, and those that plugins register."""
    cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    cli.callback()(common)
    cli.command()(serve)
    cli.command()(health)
    cli.command("plugins")(show_plugins)
    cli.command("config")(show_config)
    cli.command("nginx")(show_nginx)
    cli.command("systemd")(show_systemd)
    for tool in (tools.check, tools.doctor, tools.explain, tools.index, tools.init, tools.inspect):
        cli.command()(tool)
    for command in plugins.commands():
        cli.command()(command)
    return cli


def _load(found: startup.Setup) -> Registry:
    return found.plugins.load(found.config, run_inline)


def main() -> None:
    """Run the command. An error raised on purpose ends it with status 1 and no traceback."""
    try:
        if sys.argv[1:] == ["--version"]:  # also if a plugin cannot be loaded
            _show_version(value=True)
        # Whether it serves may be asked every few seconds, and needs no plugin.
        asks = sys.argv[1:2] == ["health"]
        make_cli(Plugins(installed=not asks))()
    except typer.Exit:
        return
    except StartError as error:
        sys.exit("\n".join(f"sidecar: {line}" for line in str(error).splitlines()))
