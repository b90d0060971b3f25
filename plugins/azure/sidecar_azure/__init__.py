"""Blobs in containers of Azure Blob Storage."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sidecar.plugin import Config, Folder, Section, Source, hookimpl
from sidecar_azure.settings import AzureSettings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""

_FILES: Final = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH")
"""Read when a token is fetched. They are replaced by other files in the same folder."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `azure`."""
    return [AzureSettings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """Register the source of the containers that are set, if any. Raises StartError if the identity is half set."""
    settings = config.section(AzureSettings)
    return [_source(settings)] if settings.known_buckets else []


def _source(settings: AzureSettings) -> Source:
    # urllib3 takes memory and time to import: only if a container is set.
    from sidecar.plugin.remote import (  # noqa: PLC0415
        BucketSource,
        Client,
        RangedTransport,
        RemoteObjects,
        places_of,
    )
    from sidecar_azure.access import access_of  # noqa: PLC0415
    from sidecar_azure.api import BlobApi  # noqa: PLC0415

    client = Client(settings)
    transport = RangedTransport("azure", BlobApi(client, settings, access_of(settings)))
    objects = RemoteObjects("azure", transport, settings)
    return BucketSource("azure", objects, settings, places_of("azure", settings, client))


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the files by which an identity is proved, if a container is set."""
    if not config.section(AzureSettings).known_buckets:
        return []
    return [Folder(path=Path(os.environ[name]).parent) for name in _FILES if os.environ.get(name)]
