"""The server that holds the files: the URL of an identifier, and where its redirects lead."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from sidecar.plugin import SourceError
from sidecar.plugin.remote import REDIRECTS, Client, Response
from sidecar_http.allowed_hosts import AllowedHosts
from sidecar_http.settings import HttpSettings

_HOPS: Final = 3
_SHORT: Final = 8 * 1024


class Server:
    """An `HttpOrigin` whose keys are identifiers, or URLs if these are looked up."""

    def __init__(self, client: Client, hosts: AllowedHosts, settings: HttpSettings) -> None:
        self._client = client
        self._hosts = hosts
        self._prefix = settings.url_prefix
        self._suffix = settings.url_suffix
        self._keys_are_urls = settings.looks_up
        self._credentials = _credentials(settings)
        self.close = client.close

    @contextmanager
    def get(self, key: str, headers: Mapping[str, str]) -> Generator[Response, None, None]:
        """Ask for a file, and follow the server's redirects if they are allowed.

        Every character that could end the path is encoded: an identifier completes the prefix and does nothing else.
        """
        url = key if self._keys_are_urls else f"{self._prefix}{quote(key, safe='/')}{self._suffix}"
        for _ in range(_HOPS + 1):
            own = self._credentials if self._hosts.is_own(url) else {}
            with self._client.get(url, {**headers, **own}) as response:
                if response.status not in REDIRECTS:
                    yield response
                    return
                response.read(_SHORT)  # a body that is read whole leaves a connection that can be used again
                url = self._hosts.follow(url, response.headers.get("Location", ""))
        raise SourceError(f"http: more than {_HOPS} redirects")

    def is_absent(self, status: int, code: str) -> bool:
        """Report 404 and 410; a server that forbids or fails does not show that the file is missing."""
        del code
        return status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def _credentials(settings: HttpSettings) -> Mapping[str, str]:
    """Return the header of RFC 7617, in UTF-8 (§2.1), of which ASCII is a part."""
    if not settings.username:
        return {}
    user = f"{settings.username}:{settings.secret.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(user.encode()).decode()}"}
