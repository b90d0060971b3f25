"""`sidecar compare`, for typer to register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from sidecar.compare.comparison import Comparison, run
from sidecar.compare.page import to_html
from sidecar.compare.report import show, to_json
from sidecar.compare.requests import Wanted, read
from sidecar.compare.servers import Server
from sidecar.compare.verdicts import Outcome, Tolerance
from sidecar.errors import StartError

_DIFFERS = 1
_COULD_NOT = 2


def compare(
    requests: Annotated[list[Path], typer.Argument(help="Lists of URLs or nginx access logs; - for standard input.")],
    *,
    cantaloupe: Annotated[str, typer.Option(envvar="SIDECAR_CANTALOUPE_URL", help="Where Cantaloupe answers.")],
    sidecar: Annotated[
        str, typer.Option(help="Where the sidecar answers, or nginx in front of it.")
    ] = "http://127.0.0.1:8183",
    limit: Annotated[int, typer.Option(min=0, help="At most so many different requests; 0 for all.")] = 1000,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Pairs asked for at once.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="How often each URL is asked; later times are timed only.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a server.")] = 60.0,
    max_bytes: Annotated[int, typer.Option(min=1, help="The largest answer that is compared.")] = 128 * 2**20,
    header: Annotated[list[str] | None, typer.Option(help="`Name: value` sent to both; may be repeated.")] = None,
    mean: Annotated[float, typer.Option(min=0, help="The mean difference allowed, in grey levels.")] = 3.0,
    maximum: Annotated[int, typer.Option(min=0, max=255, help="The largest difference of a sample allowed.")] = 255,
    psnr: Annotated[float, typer.Option(min=0, help="The PSNR wanted, in dB.")] = 30.0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="A field not to compare, as the report names it: link, icc, 'tiles*'; may be repeated."),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="Pairs shown as pictures in the HTML page.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Write a page with the worst pairs here.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write everything for machines here; - for standard output.")
    ] = None,
) -> None:
    """Ask a Cantaloupe and the sidecar the same, and report what differs.

    Exit status: 0 nothing differs beyond the tolerance, 1 something does or was not answered, 2 could not compare.
    """
    tolerance = Tolerance(mean, maximum, psnr, frozenset(ignore or ()))
    console = Console(stderr=json == Path("-"))
    try:
        wanted = read(requests, limit)
        with ExitStack() as open_servers:
            servers = [Server(url, jobs, timeout, _headers(header or ()), max_bytes) for url in (cantaloupe, sidecar)]
            for server in servers:
                open_servers.enter_context(closing(server))
            comparison = _compare(wanted, servers, tolerance, jobs=jobs, rounds=rounds, worst=worst if html else 0)
        _write(comparison, servers, html, json)
    except (StartError, OSError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        raise typer.Exit(_COULD_NOT) from error
    show(comparison, console)
    raise typer.Exit(0 if comparison.fine else _DIFFERS)


def _compare(
    wanted: Sequence[Wanted], servers: Sequence[Server], tolerance: Tolerance, *, jobs: int, rounds: int, worst: int
) -> Comparison:
    if not wanted:
        raise StartError("no GET or HEAD of the Image API (`/iiif/2/…`, `/iiif/3/…`) was found in what was given")
    for server in servers:
        server.reach()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("comparing", total=len(wanted))
        comparison = run(
            wanted, servers, tolerance, jobs=jobs, rounds=rounds, worst=worst, done=lambda: progress.advance(task)
        )
    if comparison.counts[Outcome.FAILED] == len(wanted):
        raise StartError(f"nothing was answered: {comparison.fields[0][3]}")
    return comparison


def _headers(lines: Sequence[str]) -> Mapping[str, str]:
    pairs = [line.partition(":") for line in lines]
    if wrong := [name for name, colon, _ in pairs if not colon]:
        raise StartError(f"--header {wrong[0]}: not of the form `Name: value`")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _write(comparison: Comparison, servers: Sequence[Server], html: Path | None, json: Path | None) -> None:
    if html:
        html.write_text(to_html(comparison, [server.base for server in servers]), encoding="utf-8")
    if json == Path("-"):
        typer.echo(to_json(comparison))
    elif json:
        json.write_text(to_json(comparison), encoding="utf-8")
