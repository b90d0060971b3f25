"""The commands that explain and examine, as Typer reads them; what they do is imported when it is done."""
# ruff: noqa: PLC0415  # every `sidecar` imports this module, and only these commands need Falcon, Pillow and the like

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidecar.cli.options import AsJson, CantaloupeFile, TomlFile, name_files


def explain(
    url: Annotated[str, typer.Argument(help="The URL, whole or from the path on, as a client sends it.")],
    *,
    config: TomlFile = None,
    cantaloupe_config: CantaloupeFile = None,
    do: Annotated[bool, typer.Option("--run", help="Make the response too, and time the stages.")] = False,
    alone: Annotated[bool, typer.Option("--alone", help="As if there were no nginx and no Cantaloupe.")] = False,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="`Name: value` to send; may be repeated.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Report what would become of a request: who answers and why, what is read and decoded, and the memory it takes.

    The request goes through what answers clients, in a process of its own: no server has to run. What a running one
    knows is not in it: its load, and images that have crashed it.

    Exit status: 0 the sidecar answers, 1 the settings are wrong, 3 it hands the request over, 4 it refuses it.
    """
    from sidecar.cli.explain import execute

    name_files(config, cantaloupe_config)
    raise typer.Exit(execute(url, header or [], do=do, alone=alone, json=json))


def inspect(
    images: Annotated[list[str], typer.Argument(help="Files, folders (all images below them), or identifiers.")],
    *,
    config: TomlFile = None,
    cantaloupe_config: CantaloupeFile = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Make tiles, and time that: a second or so for each image.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Report what images are, what they cost to serve, and how they would be encoded to cost less.

    Exit status: 0 all are served, 1 nothing was found or the settings are wrong, 3 the sidecar serves not all of them.
    """
    from sidecar.cli.inspect_images import execute

    name_files(config, cantaloupe_config)
    raise typer.Exit(execute(images, measure=measure, json=json))


def index(
    places: Annotated[
        list[str],
        typer.Argument(help="s3://bucket/prefix, folders, files, identifiers; - for identifiers, one a line."),
    ],
    *,
    config: TomlFile = None,
    cantaloupe_config: CantaloupeFile = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Images under way at once.")] = 8,
    json: AsJson = False,
) -> None:
    """Learn where the parts of images are, and keep that for all sidecars, before anybody asks for them.

    It is kept where SIDECAR_JP2_INDEX_URL and SIDECAR_JP2_INDEX_FOLDER say. Images that are indexed and have not
    changed are skipped without being read, so it can be interrupted and run again.

    Exit status: 0 all are indexed, 1 the settings are wrong, nothing was found or nothing more can be kept, 3 some
    images failed, 130 it was interrupted.
    """
    from sidecar.cli.index_images import execute

    name_files(config, cantaloupe_config)
    raise typer.Exit(execute(places, at_once=at_once, json=json))


def doctor(
    *,
    config: TomlFile = None,
    cantaloupe_config: CantaloupeFile = None,
    nginx: Annotated[Path | None, typer.Option(metavar="FILE", help="nginx.conf, if it is elsewhere.")] = None,
    image: Annotated[str | None, typer.Option(metavar="IDENTIFIER", help="An image to find and open.")] = None,
    json: AsJson = False,
) -> None:
    """Examine the system, the settings, nginx, the sources and Cantaloupe; each with what to do if it is not right.

    It changes nothing. Run it as the user of the service, with its variables.

    Exit status: 0 there is no problem, 1 there is one. Warnings are none.
    """
    from sidecar.cli.doctor.command import execute

    name_files(config, cantaloupe_config)
    raise typer.Exit(execute(nginx, image, json=json))


def check(config: TomlFile = None, cantaloupe_config: CantaloupeFile = None, *, json: AsJson = False) -> None:
    """Check settings, plugins and libraries as a start or a reload does, and change nothing.

    Exit status: 0 a start would succeed, 1 it would not.
    """
    from sidecar.cli.check import execute

    name_files(config, cantaloupe_config)
    raise typer.Exit(execute(json=json))


def init(
    file: Annotated[Path, typer.Argument(help="The file to write; - prints it.")] = Path("sidecar.toml"),
    *,
    cantaloupe_config: CantaloupeFile = None,
    ask: Annotated[
        bool, typer.Option("--ask/--no-ask", help="Ask questions, if this is a terminal and no Cantaloupe is given.")
    ] = True,
    every: Annotated[
        bool, typer.Option("--all", help="Name every setting, not only those in which sites differ.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a file of settings, each with its meaning: of answers to questions, or of a Cantaloupe's own file.

    What is taken over from Cantaloupe's file stands in it then, and that file need not be named to the server any more.
    """
    from sidecar.cli.init import execute, is_terminal

    asks = ask and cantaloupe_config is None and is_terminal()
    execute(file, cantaloupe_config, asks=asks, every=every, force=force)
