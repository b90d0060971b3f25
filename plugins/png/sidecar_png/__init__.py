"""The PNG encoder of the sidecar: rows are compressed as they come."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.plugin import Config, EncoderFactory, Section, hookimpl
from sidecar_png.encoder import PngFactory
from sidecar_png.settings import PngSettings

__all__ = ["PngFactory", "PngSettings"]

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `png`."""
    return [PngSettings]


@hookimpl
def register_encoders(config: Config) -> Iterable[EncoderFactory]:
    """Register the encoder of `png`."""
    return [PngFactory(config.section(PngSettings))]
