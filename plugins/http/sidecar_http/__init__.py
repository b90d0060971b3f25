"""Files of an HTTP server."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.plugin import Config, Section, Source, hookimpl
from sidecar_http.settings import HttpSettings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `http`."""
    return [HttpSettings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """Register the source of the server or the lookup that is set, if any. Raises StartError."""
    settings = config.section(HttpSettings)
    return [_source(settings)] if settings.url_prefix or settings.looks_up else []


def _source(settings: HttpSettings) -> Source:
    # urllib3 takes memory and time to import: only if a server is set.
    from sidecar.plugin.remote import Client, RangedTransport, RemoteObjects, places_of  # noqa: PLC0415
    from sidecar_http.allowed_hosts import AllowedHosts  # noqa: PLC0415
    from sidecar_http.server import Server  # noqa: PLC0415
    from sidecar_http.source import HttpSource, LookedUpFiles  # noqa: PLC0415

    hosts = AllowedHosts(settings)
    client = Client(settings, hosts.guard, verify=not settings.allow_insecure)
    server = Server(client, hosts, settings)
    objects = RemoteObjects("http", RangedTransport("http", server), settings)
    places = places_of("http", settings, client)
    return HttpSource(objects, settings) if places is None else LookedUpFiles(objects, places, hosts)
