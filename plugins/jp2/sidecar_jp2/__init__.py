"""JPEG 2000 for the image sidecar, decoded by OpenJPEG.

`decoder` and `reader` implement the plugin API on top of eight folders, with `windows` and `lossy`, and with `proven`
and `whole_tiles` for what cannot be decoded in windows. Imports go down only: these import `color`, `openjpeg`, `loss`
and `format`; `extract` imports `blocks`, `index`, `loss` and `format`; `index` imports `loss`, `store` and `format`;
`blocks`, `loss`, `color` and `openjpeg` import `format`; `store` imports none of them. `keeping` puts together what
keeps indexes beyond the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from sidecar.plugin import Config, Decoder, Folder, Native, Section, hookimpl, in_background
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.keeping import kept_folders, kept_images
from sidecar_jp2.loss.idle_work import IdleWork
from sidecar_jp2.lossy import MEASURING_BYTES, LossRule
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.settings import Jp2Settings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the section `jp2`."""
    return [Jp2Settings]


@hookimpl
def register_decoders(config: Config, native: Native) -> Iterable[Decoder]:
    """Register one decoder for all JPEG 2000 formats. Raises StartError if no OpenJPEG loads."""
    settings = config.section(Jp2Settings)
    indexes = IndexCache(native, settings.index_memory_bytes, kept_images(config, native))
    codec = OpenJpeg(bind(settings.library))
    rule = LossRule(settings.loss_db, in_background(native), IdleWork()) if settings.loss_db else None
    return [
        Jp2Decoder(
            codec,
            native,
            alpha=settings.alpha != "drop",
            alpha_is_optional=settings.alpha == "auto",
            extractors=partial(IndexedExtractor, indexes),
            kept=indexes.kept,
            kept_bytes=indexes.limit + (MEASURING_BYTES if rule else 0),
            rule=rule,
        )
    ]


@hookimpl
def register_folders(config: Config) -> Iterable[Folder]:
    """Register the folder of packet indexes, if one is set, and what credentials for S3 are read from."""
    return kept_folders(config)
