"""What the log states of a request that is over, and how loudly."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from sidecar.errors import ClientGone, ClientTooSlow
from sidecar.http.client import client_address
from sidecar.observability.event import Event

FIELDS: Final[Mapping[str, str]] = {
    "id": "the request's; the response has it in `X-Request-Id`. From nginx, see "
    "[who is believed](../nginx.md#who-is-believed), else random. All lines that it causes in the event loop have it",
    "trace": "the [trace](traces.md)'s id, 32 hexadecimal digits; empty if there is none",
    "worker": "the process",
    "client": "the client's address: behind nginx, the last in `X-Forwarded-For`",
    "method": "",
    "path": "as it came, without the query",
    "status": "of the sidecar's response: of a handover by nginx 421, of one without nginx Cantaloupe's",
    "kind": "as in the [metrics](../metrics.md)",
    "outcome": "`answered`, `handover`, `refused` or `broken`",
    "reason": "why it was handed over, refused or broken off: a [word](../reasons.md)",
    "problem": "an explanation of that, if there is one",
    "milliseconds": "until the last byte",
    "first_byte": "milliseconds until the first one; `null` if there was none",
    "stages": "milliseconds of each [stage](traces.md#what-a-trace-looks-like), from first beginning to last end",
    "bytes": "of the response's body",
    "source": "who found the image; each of these three only if the request got so far",
    "decoder": "who opened it",
    "encoder": "the format that was made",
    "size": "of an image: its size in pixels",
    "counts": "what plugins [count](../metrics.md#tallies), if anything; work for several counts for the first of them",
    "bands": "in how many bands of the source it was made",
    "decoded_for": "for how many requests its pixels were decoded at once; 0: they had been decoded before",
    "stored": "whether it is a tile that was sent as the file holds it",
    "shared": "whether the response was made for another request, too, which had asked for it first",
    "promised": "bytes of memory that were promised to it, see [memory](memory.md)",
}
"""Every field of an access line, beside `event` (`request`), `level` and `timestamp`."""
_CLIENTS_OWN: Final = (ClientGone.reason, ClientTooSlow.reason)
_FAILURES: Final = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)


def access_line(environ: Mapping[str, Any], event: Event, status: int, broken: str) -> Mapping[str, Any]:
    """Return the fields of the line, but for times and sizes. `broken`: why the response broke off."""
    work = event.work
    plugins = {"source": work.source, "decoder": work.decoder, "encoder": work.encoder}
    return {
        "id": event.id,
        "worker": os.getpid(),
        "client": client_address(environ),
        "method": environ.get("REQUEST_METHOD"),
        "path": environ.get("RAW_URI", environ.get("PATH_INFO")),
        "status": status,
        "kind": event.kind,
        "outcome": event.outcome(broken),
        "reason": broken or event.reason,
        "stages": work.milliseconds(),
        **{name: plugin for name, plugin in plugins.items() if plugin},
        **({"counts": {**work.tallies}} if work.tallies else {}),
        **event.details,
    }


def level(event: Event, status: int, broken: str) -> int:
    """Return the level of the line: what failed here is an error, what was refused for lack of room a warning."""
    if broken:
        return logging.INFO if broken in _CLIENTS_OWN else logging.ERROR
    if status in _FAILURES:
        return logging.ERROR
    # Somebody else answers what failed here.
    return logging.WARNING if status == HTTPStatus.SERVICE_UNAVAILABLE or event.failed else logging.INFO
