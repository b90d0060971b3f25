"""The JPEG encoder of the sidecar: strips through libjpeg-turbo."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.plugin import Config, EncoderFactory, Section, hookimpl
from sidecar_turbojpeg.encoder import JpegFactory
from sidecar_turbojpeg.library import load, path_of
from sidecar_turbojpeg.progressive import load_progressive
from sidecar_turbojpeg.settings import JpegSettings

__all__ = ["JpegFactory", "JpegSettings"]

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `jpeg`."""
    return [JpegSettings]


@hookimpl
def register_encoders(config: Config) -> Iterable[EncoderFactory]:
    """Register the encoder of `jpg`. Raises StartError if libjpeg-turbo is missing."""
    settings = config.section(JpegSettings)
    compress = load(settings.library)
    progressive = load_progressive(path_of(settings.library)) if settings.progressive_pixels else None
    return [JpegFactory(settings, compress, progressive)]
