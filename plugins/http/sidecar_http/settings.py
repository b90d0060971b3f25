"""The table `http`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import Field as Setting
from pydantic import SecretStr, field_validator

from sidecar.plugin import FromCantaloupe, LookupSettings, Names

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class HttpSettings(LookupSettings):
    """Which server, with which credentials."""

    table: ClassVar[str] = "http"
    cantaloupe_source: ClassVar[str] = "HttpSource"

    url_prefix: Annotated[str, FromCantaloupe("HttpSource.BasicLookupStrategy.url_prefix")] = ""
    """Put before the identifier to make the URL: `https://host/path/`; empty: no source without a lookup."""
    url_suffix: Annotated[str, FromCantaloupe("HttpSource.BasicLookupStrategy.url_suffix")] = ""
    """Put after the identifier to make the URL."""
    username: Annotated[str, FromCantaloupe("HttpSource.BasicLookupStrategy.auth.basic.username", "nonempty")] = ""
    """For basic authentication, at the host of `url_prefix` and those of the rules of `lookup` only."""
    secret: Annotated[SecretStr, FromCantaloupe("HttpSource.BasicLookupStrategy.auth.basic.secret", "nonempty")] = (
        SecretStr("")
    )
    """The password of `username`."""
    timeout: Annotated[float, FromCantaloupe("HttpSource.request_timeout", "nonempty")] = Setting(15.0, gt=0)
    """Seconds that one fetch may take, including waiting for its turn and all further attempts."""
    hosts: Names = ()
    """Hosts that redirects and lookups may lead to beside those that are set: `host` or `host:port`."""
    allow_private: bool = False
    """Let names that look public resolve to private addresses, and redirects lead there."""
    allow_insecure: Annotated[bool, FromCantaloupe("HttpSource.allow_insecure", "flag")] = False
    """Trust any TLS certificate."""

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is neither host nor host:port")
        return hosts

    @field_validator("lookup_fields")
    @classmethod
    def _is_one_field(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        if len(fields) > 1:
            raise ValueError("name the one member that holds the URL")
        return fields

    @field_validator("url_prefix")
    @classmethod
    def _holds_a_host(cls, prefix: str) -> str:
        """Refuse a prefix without a slash after the host: an identifier would complete the host's name."""
        if not prefix:
            return prefix
        parts = urlsplit(prefix)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.startswith("/"):
            raise ValueError("must be http://host/… or https://host/…, with at least a slash behind the host")
        if parts.port == 0:  # reading it raises ValueError for all others that cannot be
            raise ValueError("there is no port 0")
        if "@" in parts.netloc:
            raise ValueError("must not hold a user: set SIDECAR_HTTP_USERNAME and SIDECAR_HTTP_SECRET")
        if "#" in prefix or "\\" in prefix or not prefix.isprintable() or " " in prefix:
            raise ValueError("must be an encoded URL without a fragment")
        return prefix
