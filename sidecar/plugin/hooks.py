"""The hooks of a plugin. They run once, at start, and register objects that the core then calls plainly.

A plugin is a module (or package) named by an entry point of the group `sidecar`. It declares the version of the API
that it was written for (`SIDECAR_API = 1`) and implements any of these functions with `@hookimpl`, taking those of the
arguments that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pluggy

from sidecar.plugin.decoder import Decoder
from sidecar.plugin.encoder import EncoderFactory
from sidecar.plugin.folders import Folder
from sidecar.plugin.settings import Config, Section
from sidecar.plugin.source import Source
from sidecar.plugin.threads import Native

hookspec = pluggy.HookspecMarker("sidecar")
hookimpl = pluggy.HookimplMarker("sidecar")


@hookspec
def register_settings() -> Iterable[type[Section]]:  # type: ignore[empty-body]
    """Register the plugin's settings; `config.section(Settings)` then returns them, checked."""


@hookspec
def register_sources(config: Config, native: Native) -> Iterable[Source]:  # type: ignore[empty-body]
    """Register image sources. They are asked in the order of SIDECAR_SOURCES, then of their names; the first blob wins.

    Register nothing if no setting says where images are. Raises StartError if a library is missing or the settings
    cannot work.
    """


@hookspec
def register_decoders(config: Config, native: Native) -> Iterable[Decoder]:  # type: ignore[empty-body]
    """Register one Decoder for each family of formats. Raises StartError if a library is missing."""


@hookspec
def register_encoders(config: Config) -> Iterable[EncoderFactory]:  # type: ignore[empty-body]
    """Register one EncoderFactory for each IIIF format; two for one format are an error at start. Raises StartError."""


@hookspec
def register_folders(config: Config) -> Iterable[Folder]:  # type: ignore[empty-body]
    """Register the files that sources, decoders and encoders use after the start: image roots, caches, certificates.

    Workers are sandboxed where the kernel has Landlock (SIDECAR_SANDBOX): nothing else can be opened, except for
    installed libraries and what the system needs, and no program can be started. Runs in each worker, after the other
    hooks. Raises StartError.
    """


@hookspec
def register_commands() -> Iterable[Callable[..., None]]:  # type: ignore[empty-body]
    """Register subcommands of `sidecar`: functions as Typer takes them, named and described by name and docstring.

    Runs whenever the command line starts, so libraries that take long to import are imported by the command itself.
    """
