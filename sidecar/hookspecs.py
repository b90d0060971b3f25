"""The hooks of a plugin. They run once, at start, and register objects that the core then calls plainly.

A plugin is a module (or package) named by an entry point of the group `sidecar`; it implements any of these functions
with `@sidecar.hookimpl`, taking those of the arguments it needs.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from sidecar.config import Config, Section
from sidecar.interfaces import Decoder, EncoderFactory, Native, Source

hookspec = pluggy.HookspecMarker("sidecar")
hookimpl = pluggy.HookimplMarker("sidecar")


@hookspec
def register_settings() -> Iterable[type[Section]]:  # type: ignore[empty-body]
    """The plugin's own settings; `config.section(Settings)` then gives them, checked."""


@hookspec
def register_sources(config: Config, native: Native) -> Iterable[Source]:  # type: ignore[empty-body]
    """Where identifiers lead. Asked in the order of their names; the first that finds a blob answers.

    A source for which nothing is set is not registered.

    Raises StartError where a library is missing or the settings cannot work.
    """


@hookspec
def register_decoders(config: Config, native: Native) -> Iterable[Decoder]:  # type: ignore[empty-body]
    """One Decoder for each family of formats; two for one suffix are an error at start. Raises StartError."""


@hookspec
def register_encoders(config: Config) -> Iterable[EncoderFactory]:  # type: ignore[empty-body]
    """One EncoderFactory for each IIIF format; two for one format are an error at start. Raises StartError."""
