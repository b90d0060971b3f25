"""The table `s3`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field as Setting
from pydantic import SecretStr

from sidecar.plugin import BucketSettings, FromCantaloupe, Names


class S3Settings(BucketSettings):
    """Which buckets, at which service, with which credentials."""

    table: ClassVar[str] = "s3"
    cantaloupe_source: ClassVar[str] = "S3Source"
    scheme: ClassVar[str] = "s3://"

    bucket: Annotated[str, FromCantaloupe("S3Source.BasicLookupStrategy.bucket.name")] = Setting(
        "", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{1,254})?$"
    )
    """The bucket that holds the images, as `S3Source.BasicLookupStrategy.bucket.name`; empty: none."""
    path_prefix: Annotated[str, FromCantaloupe("S3Source.BasicLookupStrategy.path_prefix")] = ""
    """Put before the identifier to make the object's key."""
    path_suffix: Annotated[str, FromCantaloupe("S3Source.BasicLookupStrategy.path_suffix")] = ""
    """Put after the identifier to make the object's key."""
    buckets: Names = ()
    """Buckets that an identifier or a lookup may name itself, as `s3://bucket/key`, without prefix and suffix."""
    endpoint: Annotated[str, FromCantaloupe("S3Source.endpoint", "nonempty")] = Setting(
        "", pattern=r"^(https?://[^/?#@\s\\]+/?)?$"
    )
    """Another service than Amazon's that speaks S3: `https://host:port`."""
    region: Annotated[str, FromCantaloupe("S3Source.region", "nonempty")] = Setting("", pattern="^[A-Za-z0-9-]*$")
    """The buckets' region; empty: that of the AWS variables or profile, else us-east-1."""
    path_style: bool | None = None
    """The bucket in the path (true) or in the host name (false); unset: in the path with `endpoint`."""
    access_key_id: Annotated[str, FromCantaloupe("S3Source.access_key_id", "nonempty")] = ""
    """The access key; empty: from AWS variables, profiles, web identity, container or instance roles, in this order."""
    secret_key: Annotated[SecretStr, FromCantaloupe("S3Source.secret_key", "nonempty")] = SecretStr("")
    """The secret of `access_key_id`."""
    anonymous: bool = False
    """Ask without a signature, for public buckets."""
