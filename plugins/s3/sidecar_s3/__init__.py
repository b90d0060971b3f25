"""Objects in S3 buckets."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar import Config, Section, hookimpl
from sidecar.interfaces import Source
from sidecar_s3.settings import S3Settings


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """The table `s3`."""
    return [S3Settings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """The source of the buckets that are set, if any. Raises StartError where no credentials are found."""
    settings = config.section(S3Settings)
    return [_source(settings)] if settings.bucket or settings.buckets else []


def _source(settings: S3Settings) -> Source:
    # botocore and urllib3 take memory and time to import: only where a bucket is set.
    from sidecar.remote import RemoteObjects  # noqa: PLC0415
    from sidecar.remote.client import Client  # noqa: PLC0415
    from sidecar.remote.ranged import RangedTransport  # noqa: PLC0415
    from sidecar_s3.service import Addresses, Service  # noqa: PLC0415
    from sidecar_s3.signing import Account  # noqa: PLC0415
    from sidecar_s3.source import S3Source  # noqa: PLC0415

    account = Account(settings)
    service = Service(Client(settings), Addresses(settings, account.region), account.sign)
    return S3Source(RemoteObjects("s3", RangedTransport("s3", service), settings), settings)
