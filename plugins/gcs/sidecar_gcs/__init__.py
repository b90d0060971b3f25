"""Objects in buckets of Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.plugin import Config, Folder, Section, Source, hookimpl
from sidecar_gcs.credential_files import folders
from sidecar_gcs.settings import GcsSettings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `gcs`."""
    return [GcsSettings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """Register the source of the buckets that are set, if any. Raises StartError if a file of credentials is none."""
    settings = config.section(GcsSettings)
    return [_source(settings)] if settings.known_buckets else []


def _source(settings: GcsSettings) -> Source:
    # google-auth and urllib3 take memory and time to import: only if a bucket is set.
    from sidecar.plugin.remote import BucketSource, Client  # noqa: PLC0415
    from sidecar_gcs.account import account_of  # noqa: PLC0415
    from sidecar_gcs.api import GcsApi  # noqa: PLC0415

    client = Client(settings)
    return BucketSource.over("gcs", GcsApi(client, settings, account_of(settings)), client, settings)


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the files that credentials come from, if a bucket is set."""
    settings = config.section(GcsSettings)
    return folders() if settings.known_buckets and not settings.anonymous else []
