"""What the trace of a request states: the attributes of its server span.

Names are those of OpenTelemetry's semantic conventions for HTTP servers where there is one; `iiif.*` are the parts of
the URL as they came, decoded, and `sidecar.*` is what the sidecar did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from sidecar.http.client import client_address
from sidecar.observability.event import Event
from sidecar.observability.tracing import Report, Value

_CONVERTER: Final = re.compile(r":[^{}]*(?=})")
"""What falcon's templates say of a place beside its name."""
_NOT_OURS: Final = ("client-gone", "too-slow")
"""Why a response broke off that nobody here is to blame for."""
_CONVENTIONS: Final[Mapping[str, str]] = {
    "wsgi.url_scheme": "url.scheme",
    "SERVER_NAME": "server.address",
    "REMOTE_ADDR": "network.peer.address",
    "HTTP_USER_AGENT": "user_agent.original",
}
ATTRIBUTES: Final[Mapping[str, str]] = {
    "http.request.method": "the method",
    "http.route": "the template of the path",
    "http.response.status_code": "the status; 421 is a handover by nginx",
    "http.response.body.size": "bytes sent",
    "error.type": "the reason of a failure; not for what clients did",
    "url.path": "the path, without the query",
    "url.scheme": "`http` or `https`, on the connection to the sidecar",
    "server.address": "where the sidecar was asked",
    "client.address": "the client's address: behind nginx, the last in `X-Forwarded-For`",
    "network.peer.address": "who asked: nginx, mostly",
    "user_agent.original": "the client's User-Agent",
    "iiif.version": "of the Image API",
    "iiif.identifier": "the identifier, decoded",
    "iiif.region": "as in the URL",
    "iiif.size": "as in the URL",
    "iiif.rotation": "as in the URL",
    "iiif.quality": "as in the URL",
    "iiif.format": "as in the URL",
    "sidecar.request.id": "the `id` in the log",
    "sidecar.kind": "the kind of request, as in the metrics",
    "sidecar.outcome": "`answered`, `handover`, `refused` or `broken`",
    "sidecar.reason": "why it was handed over, refused or broken off",
    "sidecar.source": "the source that found the image",
    "sidecar.decoder": "the decoder that opened it",
    "sidecar.encoder": "the encoder's format",
    "sidecar.output.size": "width and height of the picture, in pixels",
    "sidecar.bands": "in how many bands of the source it was made",
    "sidecar.decode.requests": "for how many requests its pixels were decoded at once; 0: they had been decoded before",
    "sidecar.stored": "whether it is a tile that was sent as the file holds it: there is no span `decode` or `encode`",
    "sidecar.shared": "whether the response was made for another request, too, which had asked for it first",
    "sidecar.read.bytes": "bytes of the image that were read for its windows",
    "sidecar.source.bytes": "bytes of the whole image, if such windows were read",
    "sidecar.count.*": "what plugins count: one for each of the [tallies](../metrics.md#tallies)",
}
"""Every attribute of a server span, and what it is."""


def report(environ: Mapping[str, Any], event: Event, status: int, sent: int, broken: str) -> Report:
    """Return what is stated of a request that is over. `broken`: why its response broke off."""
    method, route = str(environ.get("REQUEST_METHOD", "")), _CONVERTER.sub("", event.route)
    work, reason = event.work, broken or event.reason
    stated: dict[str, Value | None] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "http.response.body.size": sent,
        "url.path": str(environ.get("RAW_URI", environ.get("PATH_INFO", ""))).partition("?")[0],
        **{name: environ.get(variable) for variable, name in _CONVENTIONS.items()},
        "client.address": client_address(environ),
        **_iiif(event.parameters),
        "sidecar.request.id": event.id,
        "sidecar.kind": event.kind,
        "sidecar.outcome": event.outcome(broken),
        "sidecar.reason": reason,
        "sidecar.source": work.source,
        "sidecar.decoder": work.decoder,
        "sidecar.encoder": work.encoder,
        "sidecar.output.size": event.details.get("size"),
        "sidecar.bands": event.details.get("bands"),
        "sidecar.decode.requests": event.details.get("decoded_for"),
        "sidecar.stored": event.details.get("stored"),
        "sidecar.shared": event.details.get("shared"),
        "sidecar.read.bytes": work.read,
        "sidecar.source.bytes": work.size or None,
        **{f"sidecar.count.{name}": count for name, count in work.tallies.items()},
    }
    failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR or (broken and broken not in _NOT_OURS)
    attributes = {name: value for name, value in stated.items() if value not in ("", None)}
    return Report(f"{method} {route}".strip(), attributes, (reason or str(status)) if failed else "")


def _iiif(parameters: Mapping[str, str]) -> Mapping[str, str]:
    parts = {name: unquote(value) for name, value in parameters.items()}
    quality, dot, picture_format = parts.pop("quality_format", "").rpartition(".")
    if dot:
        parts |= {"quality": quality, "format": picture_format}
    return {f"iiif.{name}": value for name, value in parts.items()}
