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
        files = [each.partition("{")[0] for each in (settings.url_prefix, *settings.lookup_templates) if each]
        asked = [settings.lookup_url.partition("{")[0]] if settings.lookup_url else []
        self._own = {_origin(url) for url in files}
        self._allow_private = settings.allow_private
        self._private = {host for _, host, _ in map(_origin, files + asked) if names_private(host)}
        named = {allowed for host in settings.hosts for allowed in _hosts(host)}
        self._hosts = named | {(host, port) for _, host, port in map(_origin, files + asked)}
        self._hosts |= {(host, port) for _, host, _ in self._own for port in _PORTS.values()}

    def is_own(self, url: str) -> bool:
        """Report whether a URL has scheme, host and port of `url_prefix` or of a rule: credentials go only there."""
        return _origin(url) in self._own

    def admit(self, url: str) -> str:
        """Return the URL that a lookup has named. Raises SourceError if it is none, or not one that is allowed."""
        try:
            scheme, host, port = _origin(url)
        except ValueError as error:
            raise SourceError(f"http: looked up something that is no URL: {error}") from error
        if scheme not in _PORTS:
            raise SourceError(f"http: looked up a URL of the scheme {scheme!r}, which is not HTTP")
        if (host, port) not in self._hosts:
            raise SourceError(f"http: looked up a URL at {host}:{port}, which SIDECAR_HTTP_HOSTS does not name")
        return url

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
        allowed = self._allow_private or host.strip("[]").lower() in self._private
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
