"""The whole-slide decoder of the sidecar: every format that OpenSlide reads."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.plugin import Config, Decoder, Native, Section, hookimpl
from sidecar_openslide.decoder import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.settings import OpenSlideSettings

__all__ = ["OpenSlideDecoder", "OpenSlideSettings"]

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `openslide`."""
    return [OpenSlideSettings]


@hookimpl
def register_decoders(config: Config, native: Native) -> Iterable[Decoder]:
    """Register the decoder of slides. Raises StartError if OpenSlide is missing or too old."""
    settings = config.section(OpenSlideSettings)
    library = load(settings.cache_bytes)
    return [OpenSlideDecoder(library, settings.suffixes, native, max_tile_pixels=settings.max_tile_pixels)]
