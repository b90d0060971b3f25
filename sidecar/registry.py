"""What is installed: the only module that speaks to pluggy. Types begin again where its answers end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pluggy

from sidecar import config as settings
from sidecar import hookspecs
from sidecar.config import Config, Section, Values
from sidecar.errors import StartError
from sidecar.interfaces import Closing, Decoder, EncoderFactory, Native, Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registry:
    """All that plugins registered, as tables."""

    sources: Sequence[Source]
    decoders: Mapping[str, Decoder]
    """By suffix of the blob's name."""
    encoders: Mapping[str, EncoderFactory]
    """By IIIF format."""

    def close(self) -> None:
        """Close what has something to close."""
        for part in {id(part): part for part in (*self.sources, *self.decoders.values())}.values():
            if isinstance(part, Closing):
                part.close()


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin, for people."""

    name: str
    version: str
    package: str


class Plugins:
    """The plugins found by entry point (group `sidecar`), and any given by hand."""

    def __init__(self, extra: Sequence[object] = (), *, installed: bool = True) -> None:
        """Raises StartError where one cannot be loaded, or its hooks are not those of `sidecar.hookspecs`."""
        self._manager = pluggy.PluginManager("sidecar")
        self._manager.add_hookspecs(hookspecs)
        self._installed = sorted(entry_points(group="sidecar")) if installed else []
        modules = [(point.name, _imported(point)) for point in self._installed]
        try:
            for name, plugin in [*modules, *((None, plugin) for plugin in extra)]:
                self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:  # the latter: two of one name
            raise StartError(_line(error)) from error

    @property
    def found(self) -> Sequence[Plugin]:
        """Each installed plugin, by name."""
        return [Plugin(point.name, point.dist.version, point.dist.name) for point in self._installed if point.dist]

    def sections(self) -> Sequence[type[Section]]:
        """The plugins' kinds of settings."""
        return [*chain.from_iterable(self._manager.hook.register_settings())]

    def configure(self, toml: Path | None = None, below: Mapping[str, Values] | None = None) -> Config:
        """Read the core's settings and every plugin's. Raises StartError."""
        return settings.load(self.sections(), toml, below)

    def load(self, config: Config, native: Native) -> Registry:
        """Let every plugin register what it has. Raises StartError, also where two claim the same."""
        hook = self._manager.hook
        sources = self._gather(lambda: hook.register_sources(config=config, native=native))
        decoders = self._gather(lambda: hook.register_decoders(config=config, native=native))
        encoders = self._gather(lambda: hook.register_encoders(config=config))
        return Registry(
            sorted(sources, key=lambda source: source.name),
            _table((suffix, decoder) for decoder in decoders for suffix in sorted(decoder.suffixes)),
            _table((encoder.format, encoder) for encoder in encoders),
        )

    @staticmethod
    def _gather(ask: Callable[[], Iterable[Iterable[T]]]) -> list[T]:
        return [*chain.from_iterable(ask())]


def _imported(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # whatever a stranger's module does while it is imported
        raise StartError(f"the plugin {point.name} ({point.value}) cannot be imported: {_line(error)}") from error


def _line(error: Exception) -> str:
    """An error's kind and text, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _table(rows: Iterable[tuple[str, T]]) -> Mapping[str, T]:
    table: dict[str, T] = {}
    for key, value in rows:
        if key in table:
            raise StartError(f"two plugins claim {key!r}: {table[key]!r} and {value!r}")
        table[key] = value
    return table
