"""The WebP and AVIF encoders of the sidecar: whole pictures through Pillow, which brings the libraries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from PIL import features

from sidecar.plugin import Config, EncoderFactory, Section, StartError, hookimpl
from sidecar_pillow.avif import AvifFactory
from sidecar_pillow.settings import AvifSettings, WebpSettings
from sidecar_pillow.webp import WebpFactory

__all__ = ["AvifFactory", "AvifSettings", "WebpFactory", "WebpSettings"]

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the tables `webp` and `avif`."""
    return [WebpSettings, AvifSettings]


@hookimpl
def register_encoders(config: Config) -> Iterator[EncoderFactory]:
    """Register the encoders that are not turned off. Raises StartError if Pillow was built without one of them."""
    webp, avif = config.section(WebpSettings), config.section(AvifSettings)
    if webp.max_pixels:
        _require("webp")
        yield WebpFactory(webp)
    if avif.max_pixels:
        _require("avif")
        yield AvifFactory(avif)


def _require(name: str) -> None:
    if not features.check(name):
        remedy = f"pip install 'pillow>=11.3', or set SIDECAR_{name.upper()}_MAX_PIXELS=0"
        raise StartError(f"this Pillow was built without {name}: {remedy}")
