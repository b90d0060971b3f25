"""What is installed: the only module that speaks to pluggy. Types begin again where its answers end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import pluggy

from sidecar import config as settings
from sidecar.config import Values, core
from sidecar.errors import StartError
from sidecar.plugin import API_VERSION, Closing, Config, Decoder, EncoderFactory, Folder, Native, Section, Source, hooks

T = TypeVar("T")
_DECLARATION: Final = "SIDECAR_API"


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that plugins registered."""

    sources: Sequence[Source]
    """In the order in which they are asked."""
    decoders: Sequence[Decoder]
    """In the order in which they are asked."""
    encoders: Mapping[str, EncoderFactory]
    """By IIIF format."""

    def close(self) -> None:
        """Close what has something to close."""
        for part in (*self.sources, *self.decoders):
            if isinstance(part, Closing):
                part.close()


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin, as listed by `sidecar plugins`."""

    name: str
    version: str
    package: str


class Plugins:
    """The plugins found by entry point (group `sidecar`), and any given by hand."""

    def __init__(self, extra: Sequence[object] = (), *, installed: bool = True) -> None:
        """Raises StartError if one cannot be loaded, was written for another API, or has unknown hooks."""
        self._manager = pluggy.PluginManager("sidecar")
        self._manager.add_hookspecs(hooks)
        self._installed = sorted(entry_points(group="sidecar")) if installed else []
        modules = [(point.name, _imported(point)) for point in self._installed]
        try:
            for name, plugin in [*modules, *((None, plugin) for plugin in extra)]:
                self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:  # the latter: two of one name
            raise StartError(_line(error)) from error
        self._packages = {point.name: _package(point) for point in self._installed}

    @property
    def found(self) -> Sequence[Plugin]:
        """Each installed plugin, by name."""
        return [Plugin(point.name, point.dist.version, point.dist.name) for point in self._installed if point.dist]

    def sections(self) -> Sequence[type[Section]]:
        """Return the plugins' kinds of settings."""
        return [*chain.from_iterable(self._manager.hook.register_settings())]

    def commands(self) -> Sequence[Callable[..., None]]:
        """Return the plugins' subcommands."""
        return [*chain.from_iterable(self._manager.hook.register_commands())]

    def configure(self, toml: Path | None = None, below: Mapping[str, Values] | None = None) -> Config:
        """Read the core's settings and every plugin's. Raises StartError."""
        return settings.load(self.sections(), toml, below)

    def load(self, config: Config, native: Native) -> Registry:
        """Let every plugin register what it has. Raises StartError, also if two encoders claim one format."""
        sources: list[Source] = self._gather("register_sources", Source, {"config": config, "native": native})
        decoders: list[Decoder] = self._gather("register_decoders", Decoder, {"config": config, "native": native})
        encoders: list[EncoderFactory] = self._gather("register_encoders", EncoderFactory, {"config": config})
        chosen = core(config)
        return Registry(
            _ordered(sources, chosen.sources, "SIDECAR_SOURCES"),
            _ordered(decoders, chosen.decoders, "SIDECAR_DECODERS"),
            _table((encoder.format, encoder) for encoder in encoders),
        )

    def folders(self, config: Config) -> Sequence[Folder]:
        """Return the files that plugins use after the start. Raises StartError."""
        return self._gather("register_folders", Folder, {"config": config})

    def _gather(self, hook: str, kind: type[object], arguments: Mapping[str, object]) -> list[Any]:
        """Call a hook plugin by plugin, so that what is wrong is reported with the plugin's distribution."""
        gathered: list[Any] = []
        caller = getattr(self._manager.hook, hook)
        for implementation in caller.get_hookimpls():
            given = {name: arguments[name] for name in implementation.argnames}
            name = implementation.plugin_name
            # As pluggy has it, a hook that returns None registers nothing.
            for part in implementation.function(**given) or ():
                _check_members(part, kind, self._packages.get(name, name))
                gathered.append(part)
        return gathered


def _imported(point: EntryPoint) -> object:
    try:
        plugin = point.load()
    except Exception as error:  # whatever a plugin's module does while it is imported
        raise StartError(f"{_package(point)}: the plugin cannot be imported ({point.value}): {_line(error)}") from error
    declared = getattr(plugin, _DECLARATION, None)
    if declared != API_VERSION:
        has = f"was written for version {declared}" if declared is not None else f"declares no {_DECLARATION}"
        raise StartError(
            f"{_package(point)}: the plugin {has} of the plugin API; this sidecar has version {API_VERSION}"
        )
    return plugin


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.name


def _check_members(part: object, kind: type[object], package: str) -> None:
    """Raise StartError if an object lacks a member of the protocol that it is registered for."""
    members = sorted(name for name in vars(kind) if not name.startswith("_"))
    missing = [name for name in members if not hasattr(part, name)]
    if missing:
        raise StartError(
            f"{package}: {part!r} is no {kind.__name__} of plugin API {API_VERSION}: it lacks {', '.join(missing)}"
        )


def _ordered(parts: Iterable[T], first: Sequence[str], variable: str) -> Sequence[T]:
    """Return sources or decoders in the order asked for, the others after them by name. Raises StartError."""
    by_name = _table((str(getattr(part, "name", "")), part) for part in parts)
    unknown = [name for name in first if name not in by_name]
    if unknown:
        raise StartError(f"{variable}: there is no {', '.join(unknown)}; there are {', '.join(sorted(by_name))}")
    return [by_name[name] for name in dict.fromkeys((*first, *sorted(by_name)))]


def _line(error: Exception) -> str:
    """Return an error's kind and text in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _table(rows: Iterable[tuple[str, T]]) -> Mapping[str, T]:
    table: dict[str, T] = {}
    for key, value in rows:
        if key in table:
            raise StartError(f"two plugins register {key!r}: {table[key]!r} and {value!r}")
        table[key] = value
    return table
