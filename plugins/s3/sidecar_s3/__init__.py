"""Objects in S3 buckets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sidecar.plugin import Config, Folder, Section, Source, hookimpl
from sidecar_s3.settings import S3Settings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""

# Read again when credentials expire. Tokens are replaced by other files in the same folder.
_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE")
_TOKENS = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `s3`."""
    return [S3Settings]


@hookimpl
def register_sources(config: Config) -> Iterable[Source]:
    """Register the source of the buckets that are set, if any. Raises StartError if no credentials are found."""
    settings = config.section(S3Settings)
    return [_source(settings)] if settings.known_buckets else []


def _source(settings: S3Settings) -> Source:
    # botocore and urllib3 take memory and time to import: only if a bucket is set.
    from sidecar.plugin.remote import BucketSource, Client  # noqa: PLC0415
    from sidecar_s3.api import ObjectUrls, S3Api  # noqa: PLC0415
    from sidecar_s3.listing import Listing  # noqa: PLC0415
    from sidecar_s3.signing import Account  # noqa: PLC0415

    account = Account(settings)
    client = Client(settings)
    api = S3Api(client, ObjectUrls(settings, account.region), account.sign)
    return BucketSource.over("s3", api, client, settings, Listing(api, settings))


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the files that credentials come from, if a bucket is set."""
    settings = config.section(S3Settings)
    return credential_folders() if settings.known_buckets else []


def credential_folders() -> Iterable[Folder]:
    """Return the files that credentials come from."""
    places = [Path("~/.aws").expanduser()]
    places += [Path(os.environ[name]).expanduser() for name in _FILES if os.environ.get(name)]
    places += [Path(os.environ[name]).parent for name in _TOKENS if os.environ.get(name)]
    return [Folder(path=place) for place in places]
