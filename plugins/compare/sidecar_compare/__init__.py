"""`sidecar compare`: sends the same requests to Cantaloupe and to the sidecar, and reports how the responses differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sidecar.plugin import hookimpl

SIDECAR_API = 1


@hookimpl
def register_commands() -> Iterable[Callable[..., None]]:
    """Register `sidecar compare`."""
    # Workers import this package too, and need neither Typer nor the command.
    from sidecar_compare.command import compare  # noqa: PLC0415

    return [compare]
