"""The options of `sidecar compare`, as Typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    requests: Annotated[list[Path], typer.Argument(help="Lists of URLs or nginx access logs; - for standard input.")],
    *,
    cantaloupe: Annotated[str, typer.Option(envvar="SIDECAR_CANTALOUPE_URL", help="URL of Cantaloupe.")],
    sidecar: Annotated[
        str, typer.Option(help="URL of the sidecar, or of the nginx in front of it.")
    ] = "http://127.0.0.1:8183",
    limit: Annotated[
        int, typer.Option(min=0, help="Number of different requests to compare at most; 0 for all.")
    ] = 1000,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Number of requests to compare at once.")] = 4,
    rounds: Annotated[
        int, typer.Option(min=1, help="Number of times to send each request; later responses are only timed.")
    ] = 1,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for a connection, and for more of a response.")
    ] = 60.0,
    max_bytes: Annotated[int, typer.Option(min=1, help="Size of the largest response to compare.")] = 128 * 2**20,
    header: Annotated[
        list[str] | None, typer.Option(help="`Name: value` to send to both servers; may be repeated.")
    ] = None,
    mean: Annotated[float, typer.Option(min=0, help="Largest mean difference allowed, in grey levels.")] = 3.0,
    maximum: Annotated[
        int, typer.Option(min=0, max=255, help="Largest difference of one sample allowed, in grey levels.")
    ] = 255,
    psnr: Annotated[float, typer.Option(min=0, help="Smallest PSNR allowed, in dB.")] = 30.0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="Field to ignore, named as in the report: link, icc, 'tiles*'; may be repeated."),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="Number of image pairs to show in the HTML page.")] = 20,
    html: Annotated[Path | None, typer.Option(help="File for an HTML page with the worst image pairs.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="File for the complete result as JSON; - for standard output.")
    ] = None,
) -> None:
    """Send the same requests to Cantaloupe and to the sidecar, and report where the responses differ.

    Exit status: 0 nothing differs beyond the tolerance, 1 a response differs or is missing, 2 nothing was compared.
    """
    # Every `sidecar` command imports this module; only this one needs jinja2, numpy, Pillow, rich and urllib3.
    from sidecar_compare.execution import Options, execute  # noqa: PLC0415
    from sidecar_compare.findings import Tolerance  # noqa: PLC0415

    options = Options(
        limit=limit,
        jobs=jobs,
        rounds=rounds,
        timeout=timeout,
        max_bytes=max_bytes,
        headers=header or (),
        tolerance=Tolerance(mean, maximum, psnr, frozenset(ignore or ())),
        worst=worst,
        html=html,
        json=json,
    )
    raise typer.Exit(execute(requests, (cantaloupe, sidecar), options))
