"""The table `s3`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field as Setting
from pydantic import SecretStr

from sidecar.config import Names
from sidecar.remote import RemoteSettings


class S3Settings(RemoteSettings):
    """Which buckets, where, and who asks."""

    table: ClassVar[str] = "s3"

    bucket: str = Setting("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{1,254})?$")
    """The bucket that identifiers lead to, as `S3Source.BasicLookupStrategy.bucket.name`; empty: none."""
    path_prefix: str = ""
    """What stands before an identifier in the object's key."""
    path_suffix: str = ""
    """What stands behind an identifier in the object's key."""
    buckets: Names = ()
    """Buckets that an identifier may name itself, as `s3://bucket/key`, without prefix and suffix."""
    endpoint: str = Setting("", pattern=r"^(https?://[^/?#@\s\\]+/?)?$")
    """Another service than Amazon's that speaks S3: `https://host:port`."""
    region: str = Setting("", pattern="^[A-Za-z0-9-]*$")
    """The buckets' region; empty: that of the AWS variables or profile, else us-east-1."""
    path_style: bool | None = None
    """The bucket in the path (true) or in the host name (false); unset: in the path with `endpoint`."""
    access_key_id: str = ""
    """Empty: from the usual chain: AWS variables, profiles, web identity, container and instance roles."""
    secret_key: SecretStr = SecretStr("")
    """Goes with `access_key_id`."""
    anonymous: bool = False
    """Ask without a signature, for public buckets."""
