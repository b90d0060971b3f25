"""Slides straight from the file: TIFFs whose JPEG and JPEG 2000 tiles are decoded one by one, or passed on as they are.

`decoder` and `reader` implement the plugin API on top of `levels`, `codecs`, `jpeg`, `jpeg2000`, `turbo`, `slide`,
`checks`, `pages`, `places`, `hints`, `rounds`, `directory` and `tags`, each of which imports later ones only.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.settings import Jp2Settings
from sidecar_turbojpeg.settings import JpegSettings

from sidecar.plugin import Config, Decoder, Section, hookimpl
from sidecar_tiff.decoder import TiffDecoder
from sidecar_tiff.jpeg2000 import Jpeg2000
from sidecar_tiff.settings import TiffSettings
from sidecar_tiff.turbo import Turbo

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `tiff`."""
    return [TiffSettings]


@hookimpl
def register_decoders(config: Config) -> Iterable[Decoder]:
    """Register the decoder. Raises StartError if libjpeg-turbo or OpenJPEG is missing."""
    turbo = Turbo(config.section(JpegSettings).library)
    jpeg2000 = Jpeg2000(OpenJpeg(bind(config.section(Jp2Settings).library)))
    return [TiffDecoder(config.section(TiffSettings).suffixes, turbo, jpeg2000)]
