"""Files of an HTTP server."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar import Config, Section, hookimpl
from sidecar.interfaces import Source
from sidecar_http.settings import HttpSettings


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """The table `http`."""
    return [HttpSettings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """The source of the server that is set, if any."""
    settings = config.section(HttpSettings)
    return [_source(settings)] if settings.url_prefix else []


def _source(settings: HttpSettings) -> Source:
    # urllib3 takes memory and time to import: only where a server is set.
    from sidecar.remote import RemoteObjects  # noqa: PLC0415
    from sidecar.remote.client import Client  # noqa: PLC0415
    from sidecar.remote.ranged import RangedTransport  # noqa: PLC0415
    from sidecar_http.places import Places  # noqa: PLC0415
    from sidecar_http.server import Server  # noqa: PLC0415
    from sidecar_http.source import HttpSource  # noqa: PLC0415

    places = Places(settings)
    client = Client(settings, places.guard, verify=not settings.allow_insecure)
    server = Server(client, places, settings)
    return HttpSource(RemoteObjects("http", RangedTransport("http", server), settings), settings)
