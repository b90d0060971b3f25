"""Entries as objects below a prefix of an S3 bucket, through the client and the account of the plugin `s3`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sidecar_s3.settings import S3Settings
from sidecar_s3.small_objects import Refused, SmallObjects

from sidecar.plugin import SourceError
from sidecar_jp2.store.back_end import ReadOnly, StoreError


class S3Store:
    """A BackEnd on S3. Nothing is ever removed: a lifecycle rule of the bucket does that."""

    name: Final = "s3"

    def __init__(self, settings: S3Settings, place: str, seconds: float) -> None:
        """`place`: `s3://bucket/prefix`; `seconds`: for connecting, and of silence. Raises StartError."""
        self.place = place
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        self._objects = SmallObjects(settings, bucket, prefix and f"{prefix.rstrip('/')}/", seconds)
        self.close = self._objects.close

    def get(self, key: str, most: int) -> bytes | None:
        """Return the beginning of an entry."""
        with _mapped():
            return self._objects.get(key, most)

    def put(self, key: str, data: bytes) -> None:
        """Store an entry."""
        with _mapped():
            self._objects.put(key, data)


@contextmanager
def _mapped() -> Generator[None, None, None]:
    try:
        yield
    except Refused as error:
        raise ReadOnly(str(error)) from error
    except SourceError as error:
        raise StoreError(str(error)) from error
