"""Settings of sources whose objects lie in buckets, or containers, that settings name."""

from __future__ import annotations

from typing import ClassVar, Final, Self, cast
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from sidecar.plugin.lookup import LookupSettings

_LONGEST_KEY: Final = 1024
"""Bytes of UTF-8; "Naming Amazon S3 objects" in the S3 User Guide, "About Cloud Storage objects" in Google's."""


class BucketSettings(LookupSettings):
    """Base of the settings of a `BucketSource`: which buckets it may read, and how an identifier becomes a key.

    Subclasses have a field for the bucket of plain identifiers and one for those that identifiers and lookups name.
    """

    place_is_url: ClassVar[bool] = False
    scheme: ClassVar[str] = ""
    """What an identifier, or a place, begins with that names its bucket: `s3://`."""
    bucket_fields: ClassVar[tuple[str, str]] = ("bucket", "buckets")
    """The names of the two fields."""

    path_prefix: str = ""
    """Put before the identifier to make the object's key."""
    path_suffix: str = ""
    """Put after the identifier to make the object's key."""

    @property
    def own_bucket(self) -> str:
        """The bucket of plain identifiers; empty: none."""
        return cast("str", getattr(self, self.bucket_fields[0]))

    @property
    def named_buckets(self) -> tuple[str, ...]:
        """The buckets that an identifier may name."""
        return cast("tuple[str, ...]", getattr(self, self.bucket_fields[1]))

    @property
    def known_buckets(self) -> tuple[str, ...]:
        """All buckets that may be read, each once."""
        return tuple(filter(None, dict.fromkeys((self.own_bucket, *self.named_buckets))))

    @classmethod
    def fits(cls, key: str) -> bool:
        """Report whether the storage can hold an object of this name at all."""
        return 0 < len(key.encode()) <= _LONGEST_KEY

    @field_validator("endpoint", check_fields=False)  # of subclasses, each with a pattern of its own
    @classmethod
    def _has_a_port_that_can_be(cls, endpoint: str) -> str:
        if urlsplit(endpoint).port == 0:  # reading it raises ValueError for all others that cannot be
            raise ValueError(f"{endpoint!r}: there is no port 0")
        return endpoint

    @model_validator(mode="after")
    def _leads_to_buckets(self) -> Self:
        """Refuse a lookup that can find nothing, and a rule whose bucket is not among those that are set."""
        own, named = (self.variable(name) for name in self.bucket_fields)
        if self.looks_up and not self.known_buckets:
            raise ValueError(f"a lookup leads to {own} or {named}, and neither is set")
        for template in self.lookup_templates:
            is_named = template.startswith(self.scheme)
            bucket = template.removeprefix(self.scheme).partition("/")[0] if is_named else self.own_bucket
            if bucket not in self.known_buckets:
                raise ValueError(f"{self.variable('lookup')}: {template!r} is not in {own} or {named}")
        if len(self.lookup_fields) > 2:  # noqa: PLR2004  # bucket and key
            raise ValueError(
                f"{self.variable('lookup_fields')}: name the member that holds the key, or two: bucket and key"
            )
        return self
