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
_ARC: Final = Path("/var/opt/azcmagent/tokens")
"""By files here a machine proves that Azure Arc manages it, which is said by IMDS_ENDPOINT."""


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
    from sidecar.plugin.remote import BucketSource, Client  # noqa: PLC0415
    from sidecar_azure.access import access_of  # noqa: PLC0415
    from sidecar_azure.api import BlobApi  # noqa: PLC0415

    client = Client(settings)
    return BucketSource.over("azure", BlobApi(client, settings, access_of(settings)), client, settings)


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the files by which an identity is proved, if a container is set."""
    if not config.section(AzureSettings).known_buckets:
        return []
    places = [Path(os.environ[name]).parent for name in _FILES if os.environ.get(name)]
    if os.environ.get("IMDS_ENDPOINT"):
        places.append(_ARC)
    return [Folder(path=place) for place in places]
