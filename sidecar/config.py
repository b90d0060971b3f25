"""The core's settings, and how all settings are read: `SIDECAR_*` variables over a TOML file over Cantaloupe's own.

Everything is checked once, at start, and each value's origin is kept. Sections of plugins: `sidecar.plugin.settings`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, get_args

from pydantic import AfterValidator, ValidationError, field_validator
from pydantic import Field as Setting
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from sidecar.errors import StartError
from sidecar.observability.redaction import redacted
from sidecar.plugin.settings import Config, Names, Section

Values = Mapping[str, Mapping[str, object]]
"""Table -> field -> value; the core's table is ''."""
Extent: TypeAlias = Literal["", "enlarged", "scaled", "images", "all"]
"""A kind of requests; each holds the one before it: none, images larger than their region, images of another size than
their region, images, all."""
EXTENTS: Final[tuple[Extent, ...]] = get_args(Extent)
_DERIVED: Final = "derived"
"""Marks what follows from Cantaloupe's configuration and its script: if people could set it, a mistake would open
guarded images."""
_LARGEST_PORT: Final = 65535
_FEWEST_THREADS: Final = 4
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _-]*")
_ADDRESS: Final = re.compile(r"unix:.+|fd://\d+|(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]*):(\d{1,5})")


def _are_addresses(value: str) -> str:
    """Return what gunicorn can listen on, as it is. Raises ValueError for anything else."""
    for part in map(str.strip, value.split(",")):
        found = _ADDRESS.fullmatch(part)
        if not found or int(found[1] or 0) > _LARGEST_PORT:
            raise ValueError(f"{part!r} is no address; it should be like 127.0.0.1:8183, [::1]:8183 or unix:/path")
    return value


def _is_worker_address(value: str) -> str:
    """Return the first of several addresses, `off` or nothing, as it is. Raises ValueError for anything else."""
    if value in ("", "off"):
        return value
    if "," in value or value.startswith("fd:"):
        raise ValueError(f"{value!r} should be one address, like 10.0.0.5:8190 or unix:/path, or off")
    return _are_addresses(value)


class Settings(Section):
    """The core's settings. Sizes in memory end in `_bytes`; times are seconds."""

    renamed: ClassVar[Mapping[str, str]] = {
        "memory": "memory_bytes",
        "request_memory": "request_memory_bytes",
        "large": "large_concurrency",
        "queue": "queue_size",
        "patience": "queue_timeout",
        "drain": "drain_time",
        "readers": "reader_cache_size",
    }

    bind: Annotated[str, AfterValidator(_are_addresses)] = "127.0.0.1:8183"
    """Where gunicorn listens: `host:port` or `unix:/path`."""
    worker_bind: Annotated[str, AfterValidator(_is_worker_address)] = ""
    """Where each worker listens by itself as well, so that nginx can send an image to the same worker always (`sidecar
    nginx` writes how): `host:port` of the first, the others at the ports that follow; `unix:/path`, to which `.1`, `.2`
    and so on is added; `off`. The default follows from a SIDECAR_BIND on this machine: 127.1.0.1, 127.1.0.2 and so on
    at the same port, or the path of its Unix socket with `.1`, `.2` and so on; else `off`."""
    trusted_proxies: Names = ("127.0.0.0/8", "::1")
    """Addresses and networks of the proxies that stand directly in front, as `10.0.0.5, 10.1.0.0/16`, beside Unix
    sockets. Only their X-Forwarded-*, X-Sidecar-* and X-Request-Id are believed, and only nginx at one of them gets
    handovers; the default is this machine."""
    workers: int = Setting(2, ge=1)
    """Worker processes."""
    threads: int = Setting(0, ge=0)
    """Native threads of each worker that decode and encode; 0: as many as there are processors, at least 4, so that a
    worker alone can keep them all busy."""
    sources: Names = ()
    """Names of sources, in the order in which they are asked; those not named follow by name."""
    decoders: Names = ()
    """Names of decoders, in the order in which they are asked for a suffix; those not named follow by name."""
    cantaloupe_url: str = ""
    """A Cantaloupe to stream handed-over requests from if no nginx site stands in front, and to compare with.
    Taken from `http.host` and `http.port` of Cantaloupe's configuration, as on this machine, if `http.enabled` is
    true."""
    prefix: str = Setting("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """What stands before `/iiif/` in the URLs of clients, such as `/images`; URLs without it are answered too. The path
    of Cantaloupe's `base_uri`, or what its `endpoint.iiif.3.path` begins with."""
    endpoints: Names = ("2", "3")
    """The versions of the Image API that are answered."""
    max_pixels: int | None = Setting(None, ge=0)
    """The largest response in pixels, as Cantaloupe's; 0 for no limit. The default follows from the memory: as many
    pixels as one response may have bytes of it, rounded down to a power of two."""
    max_scale: float = Setting(1.0, ge=0, allow_inf_nan=False)
    """The largest size relative to the whole image, as Cantaloupe's `max_scale`; 0 for no limit."""
    min_size: int = Setting(64, ge=1)
    """The smallest side of the sizes that info.json lists, as `endpoint.iiif.min_size`."""
    min_tile_size: int = Setting(512, ge=1)
    """The smallest tile side that info.json lists, as `endpoint.iiif.min_tile_size`."""
    restrict_to_sizes: bool = False
    """Answer only the sizes that info.json lists, as `endpoint.iiif.restrict_to_sizes`."""
    slash_substitute: str = ""
    """What stands for a slash in identifiers, as Cantaloupe's `slash_substitute`."""
    meta_identifier_delimiter: str = ";"
    """What separates an identifier from page and scale constraint, as `StandardMetaIdentifierTransformer.delimiter`."""
    associated_images: Names = ()
    """Names of images beside a slide's own that clients may see, of `label, macro, thumbnail`: the label of `slide.svs`
    is the image `slide.svs;label`. Labels, and macro images that show them, often name the patient; empty: none."""
    properties: Names = ()
    """Properties of a slide that clients may see, as `openslide.mpp-*, aperio.AppMag`; `*` stands for any characters.
    `…/slide.svs/properties.json` has them, and info.json leads there. They may name the patient; empty: none."""
    info_physical_scale: bool = False
    """Name in info.json how large a pixel is, if the file says it for certain, as the service `physdim` of IIIF, for
    the rulers of viewers. Cantaloupe's info.json does not have it."""
    base_uri: str = ""
    """The beginning of every URI in responses, as Cantaloupe's `base_uri`; empty: from X-Forwarded-* and Host."""
    cache_control: str = "max-age=2592000, public, no-transform"
    """The Cache-Control of responses; empty for none. The default is that of Cantaloupe's sample configuration."""
    downscale_filter: Literal["box", "triangle", "hermite", "mitchell", "bicubic", "lanczos3"] = "bicubic"
    """The resampling filter, as `processor.downscale_filter`."""
    background_color: str = Setting("#ffffff", pattern="^#[0-9a-fA-F]{6}$")
    """The colour behind transparent pixels in formats without alpha."""
    color: Literal["keep", "srgb"] = "srgb"
    """`srgb`: convert colours described by an ICC profile to sRGB; `keep`: leave them and embed the profile."""
    pass_tiles: bool = True
    """Whether a tile that the file holds as a JPEG, as those of slides, is sent as it is if exactly that tile is asked
    for: at the quality and with the subsampling that it is stored with, which encoding it again could only make worse.
    Not if its colours are converted, see SIDECAR_COLOR."""
    orientation: Literal["rotations", "all", "stored"] = "rotations"
    """Which orientations in an image's metadata turn it: `rotations` (EXIF 3, 6 and 8), as Cantaloupe 5, which shows
    mirrored ones as they are stored; `all` eight, if no Cantaloupe stands behind; `stored`: none, as Cantaloupe 4 for
    JPEG 2000."""
    memory_bytes: int = Setting(0, ge=0)
    """Bytes that all responses of a worker may take at once, with all that it keeps between them: at least half is for
    responses, and if more than the rest is to be kept, less is. 0: a share of the machine's or the cgroup's memory."""
    request_memory_bytes: int = Setting(320 * 2**20, ge=2**20)
    """Bytes that one response should keep to if thinner bands make that possible."""
    gathered_pixels: int = Setting(2 * 2**20, ge=0)
    """The most pixels that are decoded at once for several small requests that wait for a processor, neighbours in the
    same image; 0: each is decoded alone."""
    decoded_cache_bytes: int = Setting(32 * 2**20, ge=0)
    """Bytes of decoded pixels that a worker keeps for some seconds, for those that ask for the same or for a part of
    what was decoded together; 0: none."""
    shared_response_bytes: int = Setting(32 * 2**20, ge=0)
    """Bytes that large responses may take, encoded, while they are sent to several clients that have asked for the same
    at the same time; 0: each is made for each client."""
    large_concurrency: int = Setting(0, ge=0)
    """Large responses that a worker makes at once, each on all processors; 0: its share of these, at least 1."""
    client_share: float = Setting(0.5, gt=0, le=1)
    """The part of the memory for large responses that those of one client (an IPv4 address, or the /64 network of an
    IPv6 address) may hold together, from 0 to 1; a single one may be larger."""
    queue_size: int = Setting(64, ge=0)
    """Requests of a worker that may wait for memory; more are refused with 503."""
    queue_timeout: float = Setting(40.0, gt=0)
    """Seconds a request may wait for memory before it is refused with 503."""
    first_byte_timeout: float = Setting(50.0, gt=0)
    """Seconds until a response's first byte; then the request is handed over. Must be shorter than nginx's
    `proxy_read_timeout`."""
    total_timeout: float = Setting(900.0, gt=0)
    """Seconds a response may take in all, a client that reads slowly included; then its connection is broken."""
    least_bytes_per_second: float = Setting(16384.0, ge=0, allow_inf_nan=False)
    """Bytes per second that a client must take of a response, whenever it is waited for; 0: any. If it is slower, over
    SIDECAR_LEAST_SPEED_WINDOW, its connection is broken: at once, or behind nginx as soon as others wait."""
    least_speed_window: float = Setting(30.0, gt=0)
    """Seconds for which a client may take nothing at all."""
    stall_timeout: float = Setting(10.0, gt=0)
    """Seconds without the end of any native call after which requests that wait for others' calls to end are handed
    over."""
    stuck_calls: int = Setting(1, ge=1)
    """Native calls that are stuck, longer than SIDECAR_FIRST_BYTE_TIMEOUT, at which a worker is replaced."""
    request_body_bytes: int = Setting(2**20, ge=0)
    """Bytes of the largest request body that is passed on to SIDECAR_CANTALOUPE_URL, as nginx's
    `client_max_body_size`."""
    request_body_timeout: float = Setting(10.0, gt=0)
    """Seconds in which such a body must be here."""
    cantaloupe_connections: int = Setting(64, ge=1)
    """Connections of a worker to SIDECAR_CANTALOUPE_URL at once; more requests wait for one, and are then refused."""
    quarantine: float = Setting(600.0, ge=0)
    """Seconds for which an image that has crashed or blocked a worker is handed over; 0: not at all."""
    drain_time: float = Setting(1.0, ge=0)
    """Seconds for which a worker that is to stop still takes requests while `/sidecar/ready` answers 503."""
    reader_cache_size: int = Setting(64, ge=1)
    """Opened images that a worker keeps for the next request."""
    reader_cache_bytes: int = Setting(32 * 2**20, ge=0)
    """Bytes of opened images, and of what is known of images without opening them, that a worker keeps: headers, sizes,
    ICC profiles."""
    guarded: str = ""
    """Why images may be guarded by something that the sidecar does not know, as a delegate written in Java: then every
    request is handed over. Taken from Cantaloupe's configuration; may be set by hand."""
    delegate_guards: Annotated[str, _DERIVED] = ""
    """Why Cantaloupe's delegate script may guard images. Every request is then handed over."""
    delegate_objection: Annotated[str, _DERIVED] = ""
    """What about the script itself speaks against SIDECAR_DELEGATE_ONLY_LOOKS_UP, which then has no effect."""
    delegate_only_looks_up: bool = False
    """Answer although Cantaloupe has a delegate script, which is then not asked for what the sidecar answers: it says
    nothing but where images are, and a lookup here (SIDECAR_HTTP_LOOKUP, SIDECAR_S3_LOOKUP and the like) or a source
    that needs none takes its place. `sidecar doctor` says whether that seems right. If the script visibly refuses or
    redacts, or cannot be read, this has no effect."""
    authorization_is_done_in_front: bool = False
    """Answer requests for guarded images all the same. Every request that reaches the sidecar is then answered without
    asking the delegate script: only right if nginx's `auth_request` or the like has already refused those who may not
    see the image."""
    info_services: bool = False
    """Name in info.json the services that the request header X-Sidecar-Services lists, as nginx/auth-location.conf sets
    it from the answer of an authorization service. Only right with that file: it replaces what clients send."""
    hand_over: Extent = ""
    """Requests that Cantaloupe must answer because of settings of its own; taken from its configuration."""
    sandbox: Literal["auto", "off", "required"] = "auto"
    """Whether workers give up all files but image roots, caches and libraries, by Landlock: `auto` if the kernel has
    it, `required`: do not start without, `off`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""
    log_format: Literal["json", "text"] = "json"
    """Whether log lines are JSON, or text for people, with colours on a terminal."""
    status_networks: Names = ("127.0.0.0/8", "::1")
    """Addresses and networks that may open the status page and the viewer, `/sidecar/`, beside Unix sockets; empty for
    nobody. The default is this machine. Never through a proxy, whoever asks."""
    explain_responses: bool = False
    """Send with each response who answered and why (`X-Sidecar: handover; reason=not-found`), and how long each stage
    took (`Server-Timing`). Who may open the status page gets that of one response by sending `X-Explain: 1`."""

    @field_validator("trusted_proxies", "status_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(each)) for each in networks)

    @field_validator("associated_images")
    @classmethod
    def _are_words(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in names if not _WORD.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no name of an image, as label is")
        return names

    @property
    def native_threads(self) -> int:
        """Native threads of each worker that decode and encode."""
        return self.threads or max(_FEWEST_THREADS, len(os.sched_getaffinity(0)))

    @property
    def kept_bytes(self) -> int:
        """What the core of each worker keeps between responses, at most; less if memory is small, see memory_limit."""
        return self.reader_cache_bytes + self.decoded_cache_bytes + self.shared_response_bytes

    @property
    def background(self) -> tuple[int, int, int]:
        """The background colour as red, green and blue."""
        red, green, blue = bytes.fromhex(self.background_color[1:])
        return red, green, blue


def settable(kind: type[Section]) -> Sequence[str]:
    """Return the names of the settings that people set, which are all but those that follow from others."""
    return [name for name, field in kind.model_fields.items() if _DERIVED not in field.metadata]


def core(config: Config) -> Settings:
    """Return the core's settings."""
    return config.section(Settings)


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """A setting as people read it."""

    variable: str
    value: str
    """As it is written in its variable, without secrets; empty if it is none."""
    origin: str
    """A variable or a file, or `default`."""
    meaning: str


def shown(config: Config) -> Iterator[ShownSetting]:
    """Return every setting of the core and of the plugins."""
    for kind, section in config.sections.items():
        for name in settable(kind):
            origin = config.origins.get((kind.table, name), "default")
            yield ShownSetting(kind.variable(name), _written(getattr(section, name)), origin, kind.meaning(name))


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return redacted(", ".join(map(str, value)))
    return str(value).lower() if isinstance(value, bool) else redacted(str(value))


class _Variables(EnvSettingsSource):
    """Values from variables. What should be JSON and is not stays as it is, so that the section refuses it by name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def load(
    kinds: Iterable[type[Section]],
    toml: Path | None = None,
    below: Mapping[str, Values] | None = None,
    *,
    partly: bool = False,
) -> Config:
    """Read all sections: variables over the TOML file over `below` (origin -> values) over defaults.

    `partly`: the file may have tables for sections that are not among `kinds`.

    Raises StartError with one line for each wrong value, each naming its variable and where the value came from.
    """
    layers: dict[str, Values] = dict(below or {})
    if toml is not None:
        layers[str(toml)] = _read_toml(toml)
    every: list[type[Section]] = [Settings, *kinds]
    sections: dict[type[Section], Section] = {}
    origins: dict[tuple[str, str], str] = {}
    wrong = [*_unnamed(kinds)]
    for kind in every:
        values = _values(kind, layers, origins)
        try:
            sections[kind] = kind.model_validate(values)
        except ValidationError as error:
            wrong += [_explain(kind, problem["loc"], problem["msg"], origins) for problem in error.errors()]
        wrong += [
            _explain(kind, (name,), "follows from Cantaloupe's configuration, and cannot be set", origins)
            for name in kind.model_fields
            if name not in settable(kind) and origins.get((kind.table, name)) in (str(toml), kind.variable(name))
        ]
    wrong += [
        f"[{table}]: no installed plugin has such settings (from {toml})"
        for table in layers.get(str(toml), {})
        if not partly and table not in {kind.table for kind in every}
    ]
    if wrong:
        raise StartError("\n".join(wrong))
    return Config(sections, origins)


def _unnamed(kinds: Iterable[type[Section]]) -> Iterator[str]:
    """Return a line for each section of a plugin that would share the core's table."""
    for kind in kinds:
        if not kind.table:
            yield f'{kind.__module__}.{kind.__qualname__}: settings of a plugin need a table name, as `table = "jpeg"`'


def _values(
    kind: type[Section], layers: Mapping[str, Values], origins: dict[tuple[str, str], str]
) -> dict[str, object]:
    """Return the values of a section, later layers over earlier ones and variables over all; notes their origins."""
    values: dict[str, object] = {}
    for origin, layer in layers.items():
        for name, value in layer.get(kind.table, {}).items():
            if kind.table or not isinstance(value, dict):
                current = kind.renamed.get(name, name)
                values[current], origins[kind.table, current] = value, origin
    for old, name in kind.renamed.items():
        if value := os.environ.get(kind.variable(old), ""):
            values[name], origins[kind.table, name] = value, kind.variable(old)
    found = _Variables(kind, env_prefix=kind.variable(""), env_ignore_empty=True)()
    for name, value in found.items():
        values[name], origins[kind.table, name] = value, kind.variable(name)
    return values


def _explain(
    kind: type[Section], loc: tuple[int | str, ...], message: str, origins: Mapping[tuple[str, str], str]
) -> str:
    name = str(loc[0]) if loc else ""
    origin = origins.get((kind.table, name))
    where = "" if origin in (None, kind.variable(name)) else f" (from {origin})"
    return f"{kind.variable(name)}: {message.removeprefix('Value error, ')}{where}"


def renamed_keys(kinds: Iterable[type[Section]], toml: Path) -> Iterator[str]:
    """Return a line for each key of a TOML file that has another name now. Raises StartError if it cannot be read."""
    content = _read_toml(toml)
    for kind in kinds:
        table = f"{kind.table}." if kind.table else ""
        for name in content.get(kind.table, {}):
            if name in kind.renamed:
                yield f"{toml}: {table}{name} is now called {table}{kind.renamed[name]}"


def _read_toml(path: Path) -> Values:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # also what is not UTF-8
        raise StartError(f"SIDECAR_CONFIG: {path}: {error}") from error
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    return {"": {name: value for name, value in content.items() if name not in tables}, **tables}
