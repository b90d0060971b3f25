"""The service that holds the containers: the URL of a blob, and what its responses mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from sidecar.plugin.remote import Client, Response
from sidecar_azure.access import Access
from sidecar_azure.settings import AzureSettings

_VERSION: Final = "2021-12-02"
"""Of the protocol. Older ones, which the service takes if none is named, have entity tags without quotes and no tokens
("Versioning for the Azure Storage services"). Not the newest: emulators and Azure Stack follow later."""


class BlobApi:
    """An `HttpOrigin` whose keys are `container/name`."""

    def __init__(self, client: Client, settings: AzureSettings, access: Access) -> None:
        self._client = client
        self._endpoint = (settings.endpoint or f"https://{settings.account}.blob.core.windows.net").rstrip("/")
        self._access = access

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask for a blob ("Get Blob"). Encoded once: a signature is made over exactly this."""
        url = f"{self._endpoint}/{quote(key, safe='/~$')}"
        return self._client.get(*self._access.grant(url, {**headers, "x-ms-version": _VERSION}))

    def is_absent(self, status: int, code: str) -> bool:
        """Report BlobNotFound only: ContainerNotFound is a wrong setting, ResourceNotFound hides what it is."""
        return status == HTTPStatus.NOT_FOUND and code == "BlobNotFound"

    def close(self) -> None:
        """Close the connections, and give up waiting for a token."""
        self._access.close()
        self._client.close()
