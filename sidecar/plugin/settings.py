"""Settings of a plugin: one frozen pydantic model, read from variables, TOML and Cantaloupe's file, checked at start.

`SIDECAR_FILESYSTEM_ROOT` is the field `root` of the section whose table is `filesystem`, and `root` in the table
`[filesystem]` of the TOML file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator
from pydantic import Field as Setting
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from sidecar.plugin.field_docstrings import docstrings

S = TypeVar("S", bound="Section")


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of words: `a, b` in a variable, `["a", "b"]` in TOML."""


@dataclass(frozen=True, slots=True)
class FromCantaloupe:
    """Annotates a field whose value may come from a key of Cantaloupe's own configuration.

    `endpoint: Annotated[str, FromCantaloupe("S3Source.endpoint", "nonempty")] = ""`
    """

    key: str
    read: Literal["text", "nonempty", "whole", "flag"] = "text"
    """`text`: as it is, also if empty; `nonempty`: as it is, unless empty; `whole` and `flag`: a number or true/false
    as Cantaloupe reads them, which takes its default for anything else."""
    default: int | bool = False
    """Cantaloupe's default of a `whole` or `flag`."""
    plain: bool = False
    """Whether the value says where images are only if identifiers lead there without a delegate script; it is not taken
    over if a script looks them up. So are all keys with `.BasicLookupStrategy.`."""


class Section(BaseSettings):
    """Base of the settings of each plugin. Subclasses set `table` and document each field below it."""

    table: ClassVar[str] = ""
    cantaloupe_source: ClassVar[str] = ""
    """The source of Cantaloupe that these settings stand for, as `S3Source`: its keys count only while it is in use."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Former names of fields: still read, with a warning at start."""
    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read only what `sidecar.config.load` passes: it merges the layers, to know where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of a field."""
        return (f"SIDECAR_{cls.table}_{name}" if cls.table else f"SIDECAR_{name}").upper()

    @classmethod
    def meaning(cls, name: str) -> str:
        """Return what a field means, in one line: its description, or else the docstring below it."""
        return " ".join((cls.model_fields[name].description or docstrings(cls).get(name, "")).split())


class RemoteSettings(Section):
    """Base of the settings of a source whose bytes come over a network; see `sidecar.plugin.remote`."""

    renamed: ClassVar[Mapping[str, str]] = {
        "block": "block_bytes",
        "gap": "max_gap_bytes",
        "span": "max_request_bytes",
        "cache": "cache_bytes",
    }

    timeout: float = Setting(15.0, gt=0)
    """Seconds that one fetch may take, including waiting for its turn and all further attempts."""
    connect_timeout: float = Setting(3.0, gt=0)
    """Seconds that connecting may take."""
    stall_timeout: float = Setting(5.0, gt=0)
    """Seconds of silence after which an attempt is given up."""
    attempts: int = Setting(4, ge=1)
    """How often a failing request is made, the first time included."""
    concurrency: int = Setting(16, ge=1)
    """Requests that a worker has under way at once."""
    freshness: float = Setting(30.0, ge=0)
    """Seconds for which an object that was found is not looked up again."""
    block_bytes: int = Setting(32 * 2**10, ge=2**12)
    """Bytes of the blocks that are fetched and kept."""
    max_gap_bytes: int = Setting(64 * 2**10, ge=0)
    """Bytes that nobody asked for and that are fetched to save a request."""
    max_request_bytes: int = Setting(4 * 2**20, ge=2**12)
    """Bytes of the longest single request; more is fetched over several connections."""
    cache_bytes: int = Setting(64 * 2**20, ge=0)
    """Bytes of blocks that a worker keeps."""


@dataclass(frozen=True)
class Config:
    """Every section, checked, and where each value came from."""

    sections: Mapping[type[Section], Section]
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(table, field) -> `SIDECAR_X` or a file's name; absent for defaults."""

    def section(self, kind: type[S]) -> S:
        """Return the settings of one section; its defaults if it was not loaded."""
        found = self.sections.get(kind)
        return found if isinstance(found, kind) else kind()

    @classmethod
    def of(cls, *sections: Section) -> Config:
        """Make a configuration by hand, as tests and embedders need it."""
        return cls({type(section): section for section in sections})
