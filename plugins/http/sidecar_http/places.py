"""Where requests may go: the host that is set, those it may redirect to, and the addresses behind the names."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from urllib3.util import parse_url

from sidecar.errors import SourceError
from sidecar.remote.addresses import is_private, names_private
from sidecar_http.settings import HttpSettings

_PORTS: Final = {"http": 80, "https": 443}


class Places:
    """The hosts and addresses that the settings allow."""

    def __init__(self, settings: HttpSettings) -> None:
        own = urlsplit(settings.url_prefix)
        self._own = own.hostname or ""
        self._own_may_be_private = settings.allow_private or names_private(self._own)
        self._allow_private = settings.allow_private
        self._origin = _origin(settings.url_prefix)
        named = {place for host in settings.hosts for place in _places(host)}
        self._places = named | {self._origin[1:], *((self._own, port) for port in _PORTS.values())}

    def is_own(self, url: str) -> bool:
        """Whether a URL has the scheme, host and port of `url_prefix`: only there credentials go."""
        return _origin(url) == self._origin

    def follow(self, url: str, location: str) -> str:
        """The URL that a redirect leads to. Raises SourceError where it may not."""
        try:
            target = urljoin(url, location)
            scheme, host, port = _origin(target)
        except ValueError as error:
            raise SourceError(f"http: a redirect to what is no URL: {error}") from error
        if scheme not in _PORTS or (url.startswith("https:") and scheme != "https"):
            raise SourceError("http: a redirect away from TLS or from HTTP")
        if (host, port) not in self._places:
            raise SourceError(f"http: a redirect to {host}:{port}, which SIDECAR_HTTP_HOSTS does not name")
        return target

    def guard(self, host: str, address: str) -> None:
        """Raise SourceError where a host leads to a private address and may not."""
        may = self._own_may_be_private if host.strip("[]").lower() == self._own else self._allow_private
        if not may and is_private(address):
            raise SourceError(
                f"http: {host} leads to the private address {address}; SIDECAR_HTTP_ALLOW_PRIVATE would allow it"
            )


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port, as the client will read them: two parsers might disagree on who is asked.

    Raises ValueError.
    """
    parts = parse_url(url)
    if parts.auth is not None or "\\" in url:
        raise ValueError("it holds a user or a back slash")
    scheme = parts.scheme or ""
    return scheme, (parts.host or "").strip("[]"), parts.port or _PORTS.get(scheme, 0)


def _places(host: str) -> set[tuple[str, int]]:
    """`host:port` is that port, `host` the usual two."""
    parts = urlsplit(f"//{host}")
    ports = [parts.port] if parts.port else _PORTS.values()
    return {(parts.hostname or "", port) for port in ports}
