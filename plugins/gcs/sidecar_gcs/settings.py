"""The table `gcs`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field as Setting

from sidecar.plugin import BucketSettings, Names


class GcsSettings(BucketSettings):
    """Which buckets, with or without credentials. Cantaloupe has no source for Google Cloud Storage."""

    table: ClassVar[str] = "gcs"
    scheme: ClassVar[str] = "gs://"

    bucket: str = Setting("", pattern=r"^([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])?$")
    """The bucket that holds the images; empty: none."""
    buckets: Names = ()
    """Buckets that an identifier or a lookup may name itself, as `gs://bucket/name`, without prefix and suffix."""
    anonymous: bool = False
    """Ask without credentials, for public buckets. Else they are Google's Application Default Credentials."""
    endpoint: str = Setting("", pattern=r"^(https?://[^/?#@\s\\]+/?)?$")
    """Another address than `https://storage.googleapis.com`: of a private endpoint, or an emulator's `http://host:port`,
    which need not say why it answers 404."""
