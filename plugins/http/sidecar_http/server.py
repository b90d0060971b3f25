"""The server that holds the files: what an identifier's URL is, and where its redirects lead."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from sidecar.errors import SourceError
from sidecar.remote.client import Client, Response
from sidecar_http.places import Places
from sidecar_http.settings import HttpSettings

_HOPS: Final = 3
_SHORT: Final = 8 * 1024
_REDIRECTS: Final = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)


class Server:
    """A `Far` whose keys are identifiers."""

    def __init__(self, client: Client, places: Places, settings: HttpSettings) -> None:
        self._client = client
        self._places = places
        self._prefix = settings.url_prefix
        self._suffix = settings.url_suffix
        self._credentials = _credentials(settings)
        self.close = client.close

    @contextmanager
    def get(self, key: str, headers: Mapping[str, str]) -> Generator[Response, None, None]:
        """Ask for a file, and where the server sends us if we may go there.

        Every character that could end the path is encoded: an identifier completes the prefix and does nothing else.
        """
        url = f"{self._prefix}{quote(key, safe='/')}{self._suffix}"
        for _ in range(_HOPS + 1):
            own = self._credentials if self._places.is_own(url) else {}
            with self._client.get(url, {**headers, **own}) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                response.read(_SHORT)  # what is read whole leaves a connection to use again
                url = self._places.follow(url, response.headers.get("Location", ""))
        raise SourceError(f"http: more than {_HOPS} redirects")

    def is_absent(self, status: int, code: str) -> bool:
        """Not found, or gone; a server that forbids or fails says nothing of what there is."""
        del code
        return status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def _credentials(settings: HttpSettings) -> Mapping[str, str]:
    """RFC 7617, in UTF-8 (§2.1), which a server that knows ASCII only cannot tell from it."""
    if not settings.username:
        return {}
    user = f"{settings.username}:{settings.secret.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(user.encode()).decode()}"}
