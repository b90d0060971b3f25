"""Services that info.json names: what an authorization service in front says of how to get in (IIIF Auth 1 and 2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar.observability.logging import log

HEADER: Final = "X-Sidecar-Services"
"""The request header in which nginx passes on what the service has answered."""
_CONTEXT: Final = "@context"


def read_services(text: str) -> Sequence[Mapping[str, Any]]:
    """Return the services in a header: a JSON array of objects, or one object. Logs and ignores anything else."""
    if not text:
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    services = found if isinstance(found, list) else [found]
    if all(isinstance(service, dict) for service in services):
        return services
    log.warning(f"{HEADER} was ignored: it is no JSON array of objects")
    return []


def with_services(content: dict[str, object], services: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return an info.json that names services too.

    The contexts of services in the style of version 3, which have a `type`, belong to the whole document, before its
    own (Image API 3.0 §5.1, Auth 2.0 §2); those of version 1 have one each.
    """
    if not services:
        return content
    modern = [service for service in services if "type" in service and _CONTEXT in service]
    contexts = [*dict.fromkeys(service[_CONTEXT] for service in modern)]
    plain = [{k: v for k, v in each.items() if k != _CONTEXT} if each in modern else each for each in services]
    head = {_CONTEXT: [*contexts, content[_CONTEXT]]} if contexts else {}
    return {**content, **head, "service": plain}
