"""The nginx site for what is loaded and set: the shipped files, with the parts replaced in which sites differ.

The shipped files are therefore the site of the defaults, and each can be read, edited and copied as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from sidecar.cli import shipped_files
from sidecar.cli.nginx_fleet import TRIES, Fleet
from sidecar.config import Settings
from sidecar.errors import StartError
from sidecar.plugin import Decoder
from sidecar.server.slots import addresses

TIFF: Final = frozenset({"tif", "tiff"})
"""Suffixes that decoders claim for scans, but most files with them are pictures that Cantaloupe reads."""
FOLDER: Final = "nginx"
"""Of the shipped files."""
DEFAULT_CANTALOUPE: Final = "http://127.0.0.1:8182"

PLACES: Final[Mapping[str, re.Pattern[str]]] = {
    "bind": re.compile(r"(\nupstream sidecar \{\n(?:.*\n)*?    server )[^;]+"),
    "workers": re.compile(r"(\nupstream sidecar_workers \{\n(?:    (?:#|hash).*\n)+)(?:    server .*\n)+"),
    "tries": re.compile(r"(\n    proxy_next_upstream_tries )1(?=;)"),
    "cantaloupe": re.compile(r"(\nupstream sidecar_cantaloupe \{\n(?:.*\n)*?    server )[^;]+"),
    "handover": re.compile(r"(\n    )proxy_pass http://sidecar_cantaloupe[^;]*"),
    "front": re.compile(r"(\nproxy_set_header X-Sidecar-Handover )nginx(?=;)"),
    "prefix": re.compile(r'(\$sidecar_prefix \{\n    default )"[^"]*"'),
    "location": re.compile(r"(\nlocation \^~ )\S+"),
    "suffixes": re.compile(r"(\$sidecar_takes \{\n    default 0;\n)(?:    .*\n)+"),
    "trusted": re.compile(r"(\$sidecar_trusts \{\n    default 0;\n)(?:    .*\n)+"),
}
"""Each place in which sites differ: what stands before it, which is kept, and what stands there as shipped."""

_PLAIN: Final = re.compile(r"""[^\s;{}"'\\$#]+""")
"""What stands in nginx's configuration without quotes."""
_ANY_ADDRESS: Final = re.compile(r"(?:0\.0\.0\.0|\[::\])?:(?P<port>[0-9]+)")


@dataclass(frozen=True, slots=True)
class NginxSite:
    """That in which one site differs from another."""

    suffixes: Sequence[Sequence[str]]
    """Those of the identifiers that go to the sidecar, in groups; none: all identifiers do."""
    bind: str = "127.0.0.1:8183"
    """Where the sidecar listens, as in SIDECAR_BIND."""
    prefix: str = ""
    """What stands before `/iiif/` in URLs."""
    cantaloupe: str = DEFAULT_CANTALOUPE
    """The URL of Cantaloupe."""
    trusted: Sequence[str] = ()
    """Addresses of proxies in front of nginx, whose X-Forwarded-* headers are believed."""
    slots: Sequence[str] = ()
    """Where single workers listen, see sidecar.server.slots; none: all workers are asked for all images."""
    fleet: Fleet | None = None
    """Sidecars on other hosts, in place of `bind` and `slots`."""
    alone: bool = False
    """Whether there is no Cantaloupe to which nginx could send what is handed over."""


def site_of(
    settings: Settings, decoders: Iterable[Decoder], trusted: Sequence[str] = (), *, tiff: bool = False
) -> NginxSite:
    """Return the site for settings and decoders. `tiff`: TIFFs are scans too, and go to the sidecar."""
    left_out = frozenset[str]() if tiff else TIFF
    groups = dict.fromkeys(decoder.suffixes - left_out for decoder in decoders)
    return NginxSite(
        [tuple(sorted(group)) for group in groups if group and not any(group < other for other in groups)],
        settings.bind,
        settings.prefix,
        settings.cantaloupe_url or DEFAULT_CANTALOUPE,
        trusted,
        addresses(settings.bind, settings.worker_bind, settings.workers),
    )


def files(site: NginxSite) -> Mapping[str, str]:
    """Return the site's files by name. Raises StartError for what nginx cannot read."""
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(shipped_files.folder(FOLDER).glob("*.conf"))
    }
    for place, part in _parts(site).items():
        for name, text in texts.items():
            texts[name] = PLACES[place].sub(partial(_after, part), text)
    return texts


def takes(site: NginxSite, method: str, target: str) -> bool:
    """Return whether nginx sends a request to the sidecar; `target` is its URL from the path on. Raises StartError."""
    # What the map `$sidecar_takes` is asked with, and a regular expression that Python and PCRE read alike.
    key = f"{site.prefix} {method} {target}"
    patterns = (_line(group).removeprefix('"~*').removesuffix('" 1;') for group in site.suffixes or [()])
    return any(re.search(pattern, key, re.IGNORECASE) for pattern in patterns)


def _after(part: str, found: re.Match[str]) -> str:
    """Return what stands before a part, and then the part."""
    return found[1] + part


def _parts(site: NginxSite) -> Mapping[str, str]:
    """Return what stands in each place. Raises StartError for what nginx cannot read."""
    return {
        **(_on_hosts(site.fleet) if site.fleet else _on_this_host(site)),
        "cantaloupe": _authority(site.cantaloupe),
        "handover": _handover(site.cantaloupe),
        "front": "none" if site.alone else "nginx",
        "prefix": f'"{site.prefix}"',
        "location": f"{site.prefix}/iiif/",
        "suffixes": "".join(f"    {_line(group)}\n" for group in site.suffixes or [()]),
        "trusted": "".join(f"    {_network(each)} 1;\n" for each in site.trusted) or "    # 10.0.0.0/8 1;\n",
    }


def _on_this_host(site: NginxSite) -> Mapping[str, str]:
    return {
        "bind": server_of(site.bind),
        "workers": "".join(f"    server {server_of(each)} max_fails=0;\n" for each in site.slots or [site.bind]),
    }


def _on_hosts(fleet: Fleet) -> Mapping[str, str]:
    return {"bind": fleet.any_worker(), "workers": fleet.workers(), "tries": str(TRIES)}


def _line(suffixes: Sequence[str]) -> str:
    """Return the line for identifiers with one of the suffixes, or for all."""
    begin = r'"~*^(\S*) (GET|HEAD) \1/iiif/[23]/[^/?]'
    if not suffixes:
        return f'{begin}" 1;'
    names = "|".join(re.escape(_plain("a suffix", suffix)) for suffix in suffixes)
    return rf'{begin}+(\.|%2e)({names})((;|%3b)[^/?]*)?([/?]|$)" 1;'


def server_of(bind: str) -> str:
    """Return how nginx names the address that the sidecar listens on, the first of several. Raises StartError."""
    address = bind.partition(",")[0].strip()
    found = _ANY_ADDRESS.fullmatch(address)
    return f"127.0.0.1:{found['port']}" if found else _plain("SIDECAR_BIND", address)


def _authority(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StartError(f"SIDECAR_CANTALOUPE_URL: {url!r} is not http://host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _plain("SIDECAR_CANTALOUPE_URL", f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}")


def _handover(url: str) -> str:
    """Return how nginx asks Cantaloupe; one that lies below a path of its own gets the URL after it."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    # An empty $sidecar_uri would leave the path alone in place of the URL.
    target = f"{_plain('SIDECAR_CANTALOUPE_URL', path)}$sidecar_target" if path else "$sidecar_uri"
    lines = [f"proxy_pass {parts.scheme}://sidecar_cantaloupe{target};"]
    if parts.scheme == "https":
        lines += ["proxy_ssl_server_name on;", f"proxy_ssl_name {parts.hostname};"]
    return "\n    ".join(lines).removesuffix(";")


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError as error:
        raise StartError(f"--trust: {error}") from error


def _plain(what: str, text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise StartError(f"{what}: {text!r} cannot be written in nginx's configuration")
    return text
