"""Carrying out `sidecar compare`: from the files of requests to the reports and the exit status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from sidecar_compare.answered import BEHIND
from sidecar_compare.command import Caches
from sidecar_compare.comparison import Comparison, run
from sidecar_compare.errors import ComparisonError
from sidecar_compare.findings import Outcome
from sidecar_compare.page import to_html
from sidecar_compare.report import show, to_json
from sidecar_compare.requests import Request, read
from sidecar_compare.servers import Server
from sidecar_compare.tolerance import Tolerance

_STANDARD_OUTPUT = Path("-")


class ExitStatus(IntEnum):
    """What the exit status of the command means."""

    SAME = 0
    DIFFERENT = 1
    NOT_COMPARED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command; its help describes them."""

    limit: int
    jobs: int
    rounds: int
    timeout: float
    max_bytes: int
    headers: Sequence[str]
    caches: Caches
    tolerance: Tolerance
    worst: int
    html: Path | None
    json: Path | None


def execute(paths: Sequence[Path], bases: Sequence[str], options: Options) -> ExitStatus:
    """Compare both servers' responses to the requests in the files; `bases` are the URLs of Cantaloupe and the sidecar.

    Writes the HTML page and the JSON that the options name, and prints the report.
    """
    try:
        comparison = _compare(read(paths, options.limit), bases, options)
        _write(comparison, bases, options)
    except (ComparisonError, OSError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return ExitStatus.NOT_COMPARED
    show(comparison, Console(stderr=options.json == _STANDARD_OUTPUT))
    return ExitStatus.SAME if comparison.fine else ExitStatus.DIFFERENT


def _compare(requests: Sequence[Request], bases: Sequence[str], options: Options) -> Comparison:
    headers = _headers(options.headers)
    if options.caches is not Caches.USE:
        headers = {"Cache-Control": "no-cache"} | headers  # RFC 9111 §5.2.1.4
    with ExitStack() as stack:
        servers = [
            stack.enter_context(closing(_server(base, headers | more, options)))
            for base, more in zip(bases, ({}, dict(BEHIND)), strict=True)
        ]
        if not requests:
            raise ComparisonError("the input contains no GET or HEAD of the Image API (`/iiif/2/…`, `/iiif/3/…`)")
        for server in servers:
            server.check()
        comparison = _run(requests, servers, options)
    if comparison.counts[Outcome.FAILED] == len(requests):
        example = comparison.fields[0].example
        reasons = f"Cantaloupe: {example.cantaloupe}; sidecar: {example.sidecar}"
        raise ComparisonError(f"no request was answered by both servers; the first: {reasons}")
    return comparison


def _server(base: str, headers: Mapping[str, str], options: Options) -> Server:
    fresh = options.caches is Caches.AVOID
    return Server(base, options.jobs, options.timeout, headers, options.max_bytes, fresh=fresh)


def _run(requests: Sequence[Request], servers: Sequence[Server], options: Options) -> Comparison:
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("comparing", total=len(requests))
        return run(
            requests,
            servers,
            options.tolerance,
            jobs=options.jobs,
            rounds=options.rounds,
            worst=options.worst if options.html else 0,
            done=lambda: progress.advance(task),
        )


def _headers(lines: Sequence[str]) -> dict[str, str]:
    pairs = [line.partition(":") for line in lines]
    if wrong := [name for name, colon, _ in pairs if not colon]:
        raise ComparisonError(f"--header {wrong[0]}: not of the form `Name: value`")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _write(comparison: Comparison, bases: Sequence[str], options: Options) -> None:
    if options.html:
        options.html.write_text(to_html(comparison, [base.rstrip("/") for base in bases]), encoding="utf-8")
    if options.json == _STANDARD_OUTPUT:
        typer.echo(to_json(comparison))
    elif options.json:
        options.json.write_text(to_json(comparison), encoding="utf-8")
