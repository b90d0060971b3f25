"""The table `http`."""

from __future__ import annotations

import re
from typing import ClassVar, Final
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from sidecar.config import Names
from sidecar.remote import RemoteSettings

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class HttpSettings(RemoteSettings):
    """Which server, and who asks."""

    table: ClassVar[str] = "http"

    url_prefix: str = ""
    """What stands before an identifier in the URL: `https://host/path/`; empty: no source."""
    url_suffix: str = ""
    """What stands behind an identifier in the URL."""
    username: str = ""
    """For basic authentication, at the host of `url_prefix` only."""
    secret: SecretStr = SecretStr("")
    """Goes with `username`."""
    hosts: Names = ()
    """Hosts that redirects may lead to besides that of `url_prefix`: `host` or `host:port`."""
    allow_private: bool = False
    """Let names that look public lead to private addresses, and redirects too."""
    allow_insecure: bool = False
    """Trust any TLS certificate."""

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is neither host nor host:port")
        return hosts

    @field_validator("url_prefix")
    @classmethod
    def _holds_a_host(cls, prefix: str) -> str:
        """Without a slash behind the host, an identifier would complete the host's name."""
        if not prefix:
            return prefix
        parts = urlsplit(prefix)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.startswith("/"):
            raise ValueError("must be http://host/… or https://host/…, with at least a slash behind the host")
        if "@" in parts.netloc:
            raise ValueError("must not hold a user: set SIDECAR_HTTP_USERNAME and SIDECAR_HTTP_SECRET")
        if "#" in prefix or "\\" in prefix or not prefix.isprintable() or " " in prefix:
            raise ValueError("must be an encoded URL without a fragment")
        return prefix
