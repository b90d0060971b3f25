"""Objects in S3 buckets."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.plugin import Config, Section, Source, hookimpl
from sidecar_s3.settings import S3Settings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `s3`."""
    return [S3Settings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """Register the source of the buckets that are set, if any. Raises StartError if no credentials are found."""
    settings = config.section(S3Settings)
    return [_source(settings)] if settings.bucket or settings.buckets else []


def _source(settings: S3Settings) -> Source:
    # botocore and urllib3 take memory and time to import: only if a bucket is set.
    from sidecar.plugin.remote import Client, RangedTransport, RemoteObjects  # noqa: PLC0415
    from sidecar_s3.api import ObjectUrls, S3Api  # noqa: PLC0415
    from sidecar_s3.signing import Account  # noqa: PLC0415
    from sidecar_s3.source import S3Source  # noqa: PLC0415

    account = Account(settings)
    api = S3Api(Client(settings), ObjectUrls(settings, account.region), account.sign)
    return S3Source(RemoteObjects("s3", RangedTransport("s3", api), settings), settings)
