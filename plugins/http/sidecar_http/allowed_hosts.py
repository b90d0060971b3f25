"""Where requests may go: the host that is set, those it may redirect to, and the addresses behind the names."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from urllib3.util import parse_url

from sidecar.plugin import SourceError
from sidecar.plugin.remote import is_private, names_private
from sidecar_http.settings import HttpSettings

_PORTS: Final = {"http": 80, "https": 443}


class AllowedHosts:
    """The hosts and addresses that the settings allow."""

    def __init__(self, settings: HttpSettings) -> None:
        own = urlsplit(settings.url_prefix)
        self._own = own.hostname or ""
        self._own_may_be_private = settings.allow_private or names_private(self._own)
        self._allow_private = settings.allow_private
        self._origin = _origin(settings.url_prefix)
        named = {allowed for host in settings.hosts for allowed in _hosts(host)}
        self._hosts = named | {self._origin[1:], *((self._own, port) for port in _PORTS.values())}

    def is_own(self, url: str) -> bool:
        """Report whether a URL has the scheme, host and port of `url_prefix`: credentials go only there."""
        return _origin(url) == self._origin

    def follow(self, url: str, location: str) -> str:
        """Return the URL that a redirect leads to. Raises SourceError if it is not allowed."""
        try:
            target = urljoin(url, location)
            scheme, host, port = _origin(target)
        except ValueError as error:
            raise SourceError(f"http: a redirect to something that is no URL: {error}") from error
        if scheme not in _PORTS or (url.startswith("https:") and scheme != "https"):
            raise SourceError("http: a redirect away from TLS or from HTTP")
        if (host, port) not in self._hosts:
            raise SourceError(f"http: a redirect to {host}:{port}, which SIDECAR_HTTP_HOSTS does not name")
        return target

    def guard(self, host: str, address: str) -> None:
        """Raise SourceError if a host resolves to a private address and that is not allowed."""
        allowed = self._own_may_be_private if host.strip("[]").lower() == self._own else self._allow_private
        if not allowed and is_private(address):
            raise SourceError(
                f"http: {host} resolves to the private address {address}; SIDECAR_HTTP_ALLOW_PRIVATE would allow it"
            )


def _origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port as the client will read them: two parsers might disagree on the host.

    Raises ValueError.
    """
    parts = parse_url(url)
    if parts.auth is not None or "\\" in url:
        raise ValueError("it contains a user or a backslash")
    scheme = parts.scheme or ""
    return scheme, (parts.host or "").strip("[]"), parts.port or _PORTS.get(scheme, 0)


def _hosts(host: str) -> set[tuple[str, int]]:
    """Return the ports that are meant: that of `host:port`, or the usual two of `host`."""
    parts = urlsplit(f"//{host}")
    ports = [parts.port] if parts.port else _PORTS.values()
    return {(parts.hostname or "", port) for port in ports}
