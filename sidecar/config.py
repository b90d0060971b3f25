"""Settings: from `SIDECAR_*` variables, a TOML file and, below both, Cantaloupe's own; checked once, at start.

A section is a frozen pydantic model. The core has one, each plugin may have its own; `SIDECAR_FILESYSTEM_ROOT` is the
field `root` of the section `filesystem`, and the same stands in the TOML file as `root` in the table `[filesystem]`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, ValidationError
from pydantic import Field as Setting
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from sidecar.errors import StartError

S = TypeVar("S", bound="Section")
Values = Mapping[str, Mapping[str, object]]
"""Table -> field -> value; the core's table is ''."""


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of words: `a, b` in a variable, `["a", "b"]` in TOML."""


class Section(BaseSettings):
    """Base of the core's settings and each plugin's. Subclasses set `table` and document each field below it."""

    table: ClassVar[str] = ""
    model_config = SettingsConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` passes: it merges the layers itself, to know where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @classmethod
    def variable(cls, name: str) -> str:
        """The environment variable of a field."""
        return (f"SIDECAR_{cls.table}_{name}" if cls.table else f"SIDECAR_{name}").upper()


class Settings(Section):
    """The core's settings."""

    bind: str = "127.0.0.1:8183"
    """Where gunicorn listens: `host:port` or `unix:/path`."""
    workers: int = Setting(2, ge=1)
    """Worker processes."""
    threads: int = Setting(4, ge=1)
    """Native threads of each worker that decode and encode."""
    cantaloupe_url: str = ""
    """A Cantaloupe to stream handed-over requests from where no nginx of ours stands in front, and to compare with."""
    endpoints: Names = ("2", "3")
    """The versions of the Image API that are answered."""
    max_pixels: int = Setting(0, ge=0)
    """The largest answer in pixels, as Cantaloupe's `max_pixels`; 0 for none."""
    max_scale: float = Setting(1.0, ge=0, allow_inf_nan=False)
    """The largest size relative to the whole image, as Cantaloupe's `max_scale`; 0 for none."""
    min_size: int = Setting(64, ge=1)
    """The smallest side of the sizes that info.json lists, as `endpoint.iiif.min_size`."""
    min_tile_size: int = Setting(512, ge=1)
    """The smallest tile side that info.json lists, as `endpoint.iiif.min_tile_size`."""
    restrict_to_sizes: bool = False
    """Answer only the sizes that info.json lists, as `endpoint.iiif.restrict_to_sizes`."""
    slash_substitute: str = ""
    """What stands for a slash in identifiers, as Cantaloupe's `slash_substitute`."""
    meta_identifier_delimiter: str = ";"
    """What parts an identifier from page and scale constraint, as `StandardMetaIdentifierTransformer.delimiter`."""
    base_uri: str = ""
    """The beginning of every URI in answers, as Cantaloupe's `base_uri`; empty: from X-Forwarded-* and Host."""
    cache_control: str = "max-age=2592000, public, no-transform"
    """The Cache-Control of answers; empty for none. The default is that of Cantaloupe's sample configuration."""
    downscale_filter: Literal["box", "triangle", "hermite", "mitchell", "bicubic", "lanczos3"] = "bicubic"
    """The resampling filter, as `processor.downscale_filter` (hermite and mitchell use Pillow's nearest kin)."""
    background_color: str = Setting("#ffffff", pattern="^#[0-9a-fA-F]{6}$")
    """What transparent pixels show in formats without alpha."""
    color: Literal["keep", "srgb"] = "keep"
    """Keep embedded ICC profiles in answers, or convert to sRGB."""
    memory: int = Setting(0, ge=0)
    """Bytes that all work of a worker may take at once; 0: a share of the machine's or the cgroup's memory."""
    request_memory: int = Setting(320 * 2**20, ge=2**20)
    """Bytes that one answer should keep to where thinner bands make that possible."""
    large: int = Setting(0, ge=0)
    """Large answers that a worker makes at once, each on all processors; 0: its share of the processors, at least 1."""
    queue: int = Setting(64, ge=0)
    """Requests of a worker that may wait for memory; more are refused with 503."""
    patience: float = Setting(40.0, gt=0)
    """Seconds a request may wait for memory before it is refused with 503."""
    first_byte_timeout: float = Setting(50.0, gt=0)
    """Seconds until an answer's first byte; then the request is handed over. Shorter than nginx's
    `proxy_read_timeout`."""
    total_timeout: float = Setting(900.0, gt=0)
    """Seconds an answer may take in all, a client that reads slowly included; then its connection is broken."""
    stuck_calls: int = Setting(4, ge=1)
    """Native calls of a worker that may be stuck, longer than SIDECAR_FIRST_BYTE_TIMEOUT, before it is replaced."""
    quarantine: float = Setting(600.0, ge=0)
    """Seconds an image that has crashed or blocked a worker is handed over; 0: not at all."""
    drain: float = Setting(1.0, ge=0)
    """Seconds that a worker told to stop still takes requests while `/sidecar/ready` says no."""
    readers: int = Setting(64, ge=1)
    """Opened images that a worker keeps for the next request."""
    guarded: str = ""
    """Why images may be guarded by something the sidecar does not know, as a delegate script: then everything is
    handed over. Taken from Cantaloupe's configuration; may be set by hand."""
    authorization_is_done_in_front: bool = False
    """Answer guarded images all the same. Every request that reaches the sidecar is then answered without asking the
    delegate script: only right where nginx's `auth_request` or the like has already refused those who may not see."""
    hand_over: Literal["", "enlarged", "scaled", "images", "all"] = ""
    """Requests that Cantaloupe must answer because of settings of its own; taken from its configuration."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged."""


@dataclass(frozen=True)
class Config:
    """Every section, checked, and where each value came from."""

    sections: Mapping[type[Section], Section]
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(table, field) -> `SIDECAR_X`, a file's name; absent for defaults."""

    def section(self, kind: type[S]) -> S:
        """The settings of one section; its defaults where it was not loaded."""
        found = self.sections.get(kind)
        return found if isinstance(found, kind) else kind()

    @property
    def core(self) -> Settings:
        """The core's settings."""
        return self.section(Settings)

    @classmethod
    def of(cls, *sections: Section) -> Config:
        """A configuration made by hand, as tests and embedders need it."""
        return cls({type(section): section for section in sections})


class _Variables(EnvSettingsSource):
    """Values from variables. What should be JSON and is not stays as it is: the section then refuses it by name."""

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
    sections: dict[type[Section], Section] = {}
    origins: dict[tuple[str, str], str] = {}
    wrong: list[str] = []
    every: list[type[Section]] = [Settings, *kinds]
    for kind in every:
        values: dict[str, object] = {}
        for origin, layer in layers.items():
            _overlay(kind, layer.get(kind.table, {}), values, origins, origin)
        found = _Variables(kind, env_prefix=kind.variable(""), env_ignore_empty=True)()
        for name, value in found.items():
            _overlay(kind, {name: value}, values, origins, kind.variable(name))
        try:
            sections[kind] = kind.model_validate(values)
        except ValidationError as error:
            wrong += [_explain(kind, problem["loc"], problem["msg"], origins) for problem in error.errors()]
    wrong += [
        f"[{table}]: no plugin that is installed has such settings (from {toml})"
        for table in layers.get(str(toml), {})
        if not partly and table not in {kind.table for kind in every}
    ]
    if wrong:
        raise StartError("\n".join(wrong))
    return Config(sections, origins)


def _overlay(
    kind: type[Section],
    layer: Mapping[str, object],
    values: dict[str, object],
    origins: dict[tuple[str, str], str],
    origin: str,
) -> None:
    for name, value in layer.items():
        if kind.table or not isinstance(value, dict):
            values[name] = value
            origins[kind.table, name] = origin


def _explain(
    kind: type[Section], loc: tuple[int | str, ...], message: str, origins: Mapping[tuple[str, str], str]
) -> str:
    name = str(loc[0]) if loc else ""
    origin = origins.get((kind.table, name))
    where = "" if origin in (None, kind.variable(name)) else f" (from {origin})"
    return f"{kind.variable(name)}: {message}{where}"


def _read_toml(path: Path) -> Values:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # also what is not UTF-8
        raise StartError(f"SIDECAR_CONFIG: {path}: {error}") from error
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    return {"": {name: value for name, value in content.items() if name not in tables}, **tables}
