"""nginx's configuration, parsed: whether requests get to the sidecar, and from there to Cantaloupe.

Nothing of it is run: `nginx -t` says whether nginx takes it. Here it is compared with the files of `sidecar nginx`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from sidecar.cli import nginx_site
from sidecar.cli.doctor.finding import Finding
from sidecar.config import Settings
from sidecar.http.client import FRONTS
from sidecar.plugin import Decoder
from sidecar.server.slots import addresses

DEFAULT: Final = Path("/etc/nginx/nginx.conf")
_NAMED: Final = "@cantaloupe"
_HEADERS: Final = "sidecar-headers.conf"
_SET: Final = "proxy_set_header"
_HANDOVER: Final = "X-Sidecar-Handover"
_NEEDED: Final = frozenset({"host", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-for", "x-forwarded-path"})
"""Headers that have to be the same for the sidecar and for Cantaloupe, in lower case."""
_SECONDS: Final = re.compile(r"(\d+)(ms|s|m|h|)")
_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}
_READ_TIMEOUT: Final = 60.0
"""nginx's own default of proxy_read_timeout, in seconds."""
_INSTALL: Final = "pip install 'iiif-sidecar[doctor]'"


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive and what is in its block."""

    name: str
    arguments: Sequence[str]
    file: str
    line: int
    block: tuple[Directive, ...] = ()

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"

    @classmethod
    def of(cls, parsed: Mapping[str, Any], file: str) -> Self:
        """Take it from what crossplane returns."""
        here = str(parsed.get("file", file))
        block = tuple(cls.of(each, here) for each in parsed.get("block", ()))
        return cls(parsed["directive"], tuple(parsed["args"]), here, int(parsed["line"]), block)

    def all(self, name: str, *begin: str) -> Iterator[Directive]:
        """Yield those directly in the block that have a name and begin with arguments."""
        yield from (each for each in self.block if each.name == name and tuple(each.arguments[: len(begin)]) == begin)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A configuration, its includes in their places."""

    root: Directive
    errors: Sequence[str] = field(default_factory=list)


def nginx(path: Path | None, settings: Settings, decoders: Sequence[Decoder]) -> Iterator[Finding]:
    """Yield what is right and wrong in nginx's configuration; None: the usual one, if it is there."""
    found = path or DEFAULT
    if not found.is_file():
        state = Finding("nginx", "ok", f"{found} is not there, so nginx was not examined (--nginx names another file)")
        yield state if path is None else Finding("nginx", "problem", f"{found} is not a file", "name nginx.conf")
        return
    try:
        parsed = _parsed(found)
    except ImportError:
        yield Finding("nginx", "warning", f"{found} was not examined: crossplane is not installed", _INSTALL)
        return
    for error in parsed.errors:
        yield Finding("nginx", "problem", error, "`nginx -t` says more")
    yield from _examine(parsed.root, settings, decoders, str(found))


def _parsed(path: Path) -> Parsed:
    """Parse a configuration. Raises ImportError if crossplane is not installed."""
    import crossplane  # noqa: PLC0415  # optional

    payload = crossplane.parse(str(path), combine=True, check_ctx=False)
    errors = [str(each["error"]) for each in payload["errors"]]
    content = [each for file in payload["config"] for each in file["parsed"]]
    block = tuple(Directive.of(each, str(path)) for each in content)
    return Parsed(Directive("", (), str(path), 0, block), errors)


def _examine(root: Directive, settings: Settings, decoders: Sequence[Decoder], file: str) -> Iterator[Finding]:
    https = [*root.all("http")]
    if not any(
        each.name == "map" and each.arguments[1:] == ("$sidecar_takes",) for http in https for each in http.block
    ):
        text = f"{file}: `http` does not include sidecar.conf, so no request gets to the sidecar"
        yield Finding("nginx", "problem", text, "include sidecar/sidecar.conf; in http { … }")
        return
    for http in https:
        yield from _upstream(http, settings)
        yield from _prefix(http, settings)
        yield from _suffixes(http, settings, decoders)
        servers = [*http.all("server")]
        ours = [server for server in servers if _locations(server, to="sidecar")]
        if not ours:
            text = f"none of the {len(servers)} servers includes sidecar-locations.conf"
            yield Finding("nginx", "problem", text, "include sidecar/sidecar-locations.conf; in server { … }")
        for server in ours:
            yield from _server(server, settings)


def _upstream(http: Directive, settings: Settings) -> Iterator[Finding]:
    wanted = nginx_site.server_of(settings.bind)
    for upstream in http.all("upstream", "sidecar"):
        servers = [*upstream.all("server")]
        asked_at = [server.arguments[0] for server in servers]
        if any("resolve" in server.arguments for server in servers) or (len(servers) > 1 and wanted not in asked_at):
            yield Finding("nginx", "ok", f"sidecars on several hosts are asked, at {', '.join(asked_at)}")
            return
        if wanted in asked_at:
            yield Finding("nginx", "ok", f"the sidecar is asked at {wanted}, where SIDECAR_BIND says that it listens")
        else:
            text = f"{upstream.place}: nginx asks {', '.join(asked_at)}, the sidecar listens at {settings.bind}"
            yield Finding("nginx", "problem", text, f"write `server {wanted};` there, or set SIDECAR_BIND")

    slots = {nginx_site.server_of(each) for each in addresses(settings.bind, settings.worker_bind, settings.workers)}
    for upstream in http.all("upstream", "sidecar_workers"):
        asked = {server.arguments[0] for server in upstream.all("server")}
        if asked != (slots or {wanted}):
            text = f"{upstream.place}: nginx sends images to other addresses than those of single workers"
            yield Finding("nginx", "warning", text, "let `sidecar nginx` write sidecar.conf anew")


def _prefix(http: Directive, settings: Settings) -> Iterator[Finding]:
    for place in http.all("map", "", "$sidecar_prefix"):
        values = [each.arguments[0] for each in place.block if each.name == "default"]
        written = values[0] if values else ""
        if written == settings.prefix:
            yield Finding("nginx", "ok", f"the prefix is {written!r} here and there")
        else:
            text = f"{place.place}: nginx removes the prefix {written!r}, SIDECAR_PREFIX is {settings.prefix!r}"
            yield Finding("nginx", "warning", text, "make them the same: `sidecar nginx` writes the file")


def _suffixes(http: Directive, settings: Settings, decoders: Sequence[Decoder]) -> Iterator[Finding]:
    for place in http.block:
        if place.name != "map" or place.arguments[1:] != ("$sidecar_takes",):
            continue
        patterns = [each.name.removeprefix("~*") for each in place.block if each.arguments == ("1",)]
        claimed = {suffix for decoder in decoders for suffix in decoder.suffixes} - nginx_site.TIFF
        left = sorted(suffix for suffix in claimed if not _takes(patterns, settings.prefix, suffix))
        if left:
            text = f"{place.place}: nginx sends no {', '.join(left)} to the sidecar, which reads them"
            yield Finding("nginx", "warning", text, "let `sidecar nginx` write sidecar.conf anew, or add them there")
        else:
            yield Finding("nginx", "ok", "all suffixes that decoders read are sent to the sidecar")


def _takes(patterns: Iterable[str], prefix: str, suffix: str) -> bool:
    key = f"{prefix} GET {prefix}/iiif/3/a.{suffix}/info.json"
    return any(re.search(pattern, key, re.IGNORECASE) for pattern in patterns)


def _server(server: Directive, settings: Settings) -> Iterator[Finding]:
    names = " ".join(name for each in server.all("server_name") for name in each.arguments)
    who = f"server {names or server.place}"
    handovers = [*server.all("location", _NAMED)]
    if not handovers:
        text = f"{who}: there is no `location {_NAMED}`, so what the sidecar hands over ends in a 500"
        yield Finding("nginx", "problem", text, f"name the location of Cantaloupe {_NAMED}, or include cantaloupe.conf")
    for location in _locations(server, to="sidecar"):
        yield from _ours(who, location, server, settings)
        for handover in handovers:
            yield from _cantaloupes(who, handover, location, server)


def _ours(who: str, location: Directive, server: Directive, settings: Settings) -> Iterator[Finding]:
    """Examine the location that asks the sidecar."""
    headers = _headers(location, server)
    if headers.get(_HANDOVER.lower()) not in FRONTS:
        text = f"{who}: {location.place} does not set {_HANDOVER}, so the sidecar answers what it should hand over"
        yield Finding("nginx", "problem", text, "let `sidecar nginx` write sidecar-locations.conf anew")
    if not any("421" in each.arguments and each.arguments[-1] == _NAMED for each in location.all("error_page")):
        text = f"{who}: {location.place} has no `error_page 421 = {_NAMED}`, so clients get handovers as errors"
        yield Finding("nginx", "problem", text, "let `sidecar nginx` write sidecar-locations.conf anew")
    path = location.arguments[-1]
    if path != f"{settings.prefix}/iiif/":
        text = (
            f"{who}: the location is {path}, with SIDECAR_PREFIX={settings.prefix} it should be {settings.prefix}/iiif/"
        )
        yield Finding("nginx", "warning", text, "let `sidecar nginx` write sidecar-locations.conf anew")
    waits = _seconds(location, "proxy_read_timeout")
    if waits <= settings.first_byte_timeout:
        text = f"{who}: nginx waits {waits:g} s, the sidecar hands over after {settings.first_byte_timeout:g} s"
        yield Finding("nginx", "warning", text, "raise proxy_read_timeout, or lower SIDECAR_FIRST_BYTE_TIMEOUT")


def _cantaloupes(who: str, handover: Directive, location: Directive, server: Directive) -> Iterator[Finding]:
    """Examine the location that requests are handed over to."""
    there, here = _headers(handover, server), _headers(location, server)
    wrong = sorted(name for name in _NEEDED if there.get(name) != here.get(name))
    if wrong:
        text = f"{who}: {handover.place} sends Cantaloupe another {', '.join(wrong)} than the sidecar gets, so their "
        yield Finding("nginx", "problem", f"{text}responses name different URLs", f"include sidecar/{_HEADERS}; there")
    else:
        yield Finding("nginx", "ok", f"{who}: {_NAMED} is there, and sends the headers that the sidecar gets")
    for each in handover.all("proxy_pass"):
        _, _, rest = each.arguments[0].partition("://")
        if "/" in rest and "$" not in rest:
            text = f"{who}: {each.place}: `proxy_pass {each.arguments[0]}` has a URI part, which decodes %2F in URLs"
            yield Finding("nginx", "problem", text, "remove everything after the port, the slash too")


def _locations(server: Directive, *, to: str) -> Sequence[Directive]:
    """Return the locations that pass requests to an upstream."""
    return [
        location
        for location in server.all("location")
        if any(re.match(rf"http://{to}(_workers)?(?![\w-])", each.arguments[0]) for each in location.all("proxy_pass"))
        and not location.arguments[0].startswith(("=", "@"))
    ]


def _headers(location: Directive, above: Directive | None = None) -> Mapping[str, str]:
    """Return the headers that a location sends, by name in lower case; it inherits if it sets none of its own."""
    own = {each.arguments[0].lower(): each.arguments[1] for each in location.all(_SET)}
    return own or (_headers(above) if above else {})


def _seconds(location: Directive, name: str) -> float:
    for each in location.all(name):
        if found := _SECONDS.fullmatch(each.arguments[0]):
            return int(found[1]) * _UNITS[found[2]]
    return _READ_TIMEOUT
