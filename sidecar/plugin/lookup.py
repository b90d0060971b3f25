"""Settings of sources that can look up where an image is, as Cantaloupe's delegate script does."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, field_validator, model_validator
from pydantic import Field as Setting
from pydantic_settings import NoDecode

from sidecar.plugin.location_rules import ARROW, LocationRule, literal, names
from sidecar.plugin.settings import Names, RemoteSettings


def _split(value: object) -> object:
    return tuple(filter(None, re.split(r",\s+|\s*\n\s*", value.strip()))) if isinstance(value, str) else value


Rules = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Rules one after the other: separated by a comma and a space, or by line ends, in a variable, a list in TOML."""


class LookupSettings(RemoteSettings):
    """Base of the settings of a source over a network that may look up where an image is; see `Places`."""

    lookup: Rules = ()
    """Where images are, in place of the method that says it in Cantaloupe's delegates.rb (`httpsource_resource_info`,
    `s3source_object_info`, `azurestoragesource_blob_key`), which is then not asked: rules `PATTERN -> PLACE`, the first
    that matches counts, as `scans:{name*} -> https://host/scans/{name}.jp2` (in object stores `s3://bucket/{name}.jp2`,
    `azure://container/{name}.jp2`, `gs://bucket/{name}.jp2`, or a key). `{name}` is a part without slashes, `{name*}`
    with slashes, `{name:2}` of two characters, `{identifier}` all of it. What no rule matches is not this source's.
    Prefix and suffix are not used."""
    lookup_url: str = ""
    """A service that is asked where an image is, in place of the same method: `https://host/where/{identifier}`, in
    which `{identifier*}` leaves slashes as they are. It answers with a redirect, whose Location is taken and not
    followed, or with JSON, see LOOKUP_FIELDS; 404 or 410 if there is no such image."""
    lookup_fields: Names = ()
    """The member of the JSON that holds the place, as `source.uri` or `files.0.url`; in object stores also two, bucket
    and key. Empty: the service answers with a redirect."""
    lookup_authorization: SecretStr = SecretStr("")
    """Sent to the service as the header Authorization: `Bearer …` or `Basic …`."""
    lookup_function: str = ""
    """A function of your own in place of the same method: the name of an entry point of the group `sidecar.lookup`."""
    lookup_freshness: float = Setting(300.0, ge=0)
    """Seconds for which a place that the service or the function has named is kept."""

    place_is_url: ClassVar[bool] = True
    """Whether rules make URLs, in which parts of identifiers are percent-encoded."""

    @property
    def looks_up(self) -> bool:
        """Whether identifiers are looked up at all."""
        return bool(self.lookup or self.lookup_url or self.lookup_function)

    @property
    def lookup_templates(self) -> tuple[str, ...]:
        """The places of the rules, with their parts in braces."""
        return tuple(rule.partition(ARROW)[2].strip() for rule in self.lookup)

    @field_validator("lookup")
    @classmethod
    def _are_rules(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            template = LocationRule.parse(rule).template
            if cls.place_is_url:
                _check_host(template)
        return rules

    @field_validator("lookup_url")
    @classmethod
    def _holds_the_identifier(cls, url: str) -> str:
        if url:
            _check_host(url)
            if {*names(url)} != {"identifier"}:
                raise ValueError("must hold {identifier}, and no other part")
        return url

    @field_validator("lookup_authorization")
    @classmethod
    def _is_header(cls, secret: SecretStr) -> SecretStr:
        """Refuse what no header can hold, as a file's last line end: the client's error would show the secret."""
        value = secret.get_secret_value()
        if not (value.isascii() and value.isprintable()):
            raise ValueError("is not the value of a header: it has line ends, or characters that are not ASCII")
        return secret

    @model_validator(mode="after")
    def _is_one_lookup(self) -> Self:
        given = [name for name in ("lookup", "lookup_url", "lookup_function") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{self.variable(given[0])} and {self.variable(given[1])}: set one of them")
        if self.lookup_fields and not self.lookup_url:
            raise ValueError(f"{self.variable('lookup_fields')} is of no use without {self.variable('lookup_url')}")
        return self


def _check_host(template: str) -> None:
    """Raise ValueError unless a template is the URL of one HTTP server, whatever becomes of its parts."""
    parts = urlsplit(template.partition("{")[0])
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.startswith("/"):
        raise ValueError(f"{template!r} must begin as http://host/ or https://host/, without parts of the identifier")
    if "@" in parts.netloc:
        raise ValueError("a URL here must not hold a user")
    if parts.port == 0:  # reading it raises ValueError for all others that cannot be
        raise ValueError(f"{template!r}: there is no port 0")
    whole = literal(template)
    if "#" in whole or "\\" in whole or not whole.isprintable() or " " in whole:
        raise ValueError(f"{template!r} must be an encoded URL without a fragment")
