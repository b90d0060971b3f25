"""The options of `sidecar compare`, as Typer reads them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Caches(StrEnum):
    """What caches in front of the servers have to do with the comparison."""

    BYPASS = "bypass"
    AVOID = "avoid"
    USE = "use"


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
    caches: Annotated[
        Caches,
        typer.Option(
            help="bypass: ask caches to pass requests on (Cache-Control: no-cache); avoid: a new parameter in each URL "
            "too, for caches that do not listen; use: let them answer."
        ),
    ] = Caches.BYPASS,
    png: Annotated[float, typer.Option(min=0, help="Largest mean difference allowed in PNG at 1:1.")] = 0.0,
    jpeg: Annotated[float, typer.Option(min=0, help="Largest mean difference allowed in JPEG at 1:1.")] = 0.0,
    png_scaled: Annotated[float, typer.Option(min=0, help="Largest mean difference allowed in scaled PNG.")] = 0.1,
    jpeg_scaled: Annotated[float, typer.Option(min=0, help="Largest mean difference allowed in scaled JPEG.")] = 0.3,
    mean: Annotated[
        float | None, typer.Option(min=0, help="Largest mean difference allowed in all images, instead of these four.")
    ] = None,
    maximum: Annotated[
        int, typer.Option(min=0, max=255, help="Largest difference of one sample allowed, in grey levels.")
    ] = 255,
    psnr: Annotated[float, typer.Option(min=0, help="Smallest PSNR allowed, in dB.")] = 30.0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            help="Field or documented difference to ignore, named as in the report: link, icc, 'tiles*'; `documented` "
            "for all that are documented; may be repeated."
        ),
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
    from sidecar_compare.tolerance import Means, Tolerance  # noqa: PLC0415

    options = Options(
        limit=limit,
        jobs=jobs,
        rounds=rounds,
        timeout=timeout,
        max_bytes=max_bytes,
        headers=header or (),
        caches=caches,
        tolerance=Tolerance(mean, maximum, psnr, frozenset(ignore or ()), Means(png, jpeg, png_scaled, jpeg_scaled)),
        worst=worst,
        html=html,
        json=json,
    )
    raise typer.Exit(execute(requests, (cantaloupe, sidecar), options))
