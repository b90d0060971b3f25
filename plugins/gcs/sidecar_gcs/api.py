"""The service that holds the buckets: the URL of an object in its XML API, and what its responses mean.

Not the JSON API: its errors do not tell a missing bucket from a missing object by a code, and its URLs are longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from sidecar.plugin.remote import Client, Response
from sidecar_gcs.account import Account
from sidecar_gcs.settings import GcsSettings

_GOOGLE: Final = "https://storage.googleapis.com"


class GcsApi:
    """An `HttpOrigin` whose keys are `bucket/name`."""

    def __init__(self, client: Client, settings: GcsSettings, account: Account) -> None:
        self._client = client
        self._endpoint = (settings.endpoint or _GOOGLE).rstrip("/")
        self._account = account
        self._absent = ("NoSuchKey", "") if settings.endpoint else ("NoSuchKey",)

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask for an object ("GET Object")."""
        return self._client.get(f"{self._endpoint}/{quote(key, safe='/~')}", {**headers, **self._account.headers()})

    def is_absent(self, status: int, code: str) -> bool:
        """Report NoSuchKey: NoSuchBucket is a wrong setting, and AccessDenied hides whether there is an object."""
        return status == HTTPStatus.NOT_FOUND and code in self._absent

    def close(self) -> None:
        """Close the connections, and give up waiting for a token."""
        self._account.close()
        self._client.close()
