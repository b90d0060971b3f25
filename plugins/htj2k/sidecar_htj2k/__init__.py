"""HTJ2K for the image sidecar, decoded by OpenJPH.

It opens JPEG 2000 files whose code blocks are all coded by ITU-T T.814, and leaves others to `jp2`, of which it uses
the formats, the packet index and the colours. `decoder` and `reader` implement the plugin API on top of `memory`,
`decoding`, `stages`, `cuts`, `header`, `openjph` and `packets`, each of which imports later ones only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.keeping import kept_images
from sidecar_jp2.settings import Jp2Settings

from sidecar.plugin import Config, CountedCache, Decoder, Native, Section, StartError, hookimpl
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_htj2k.settings import Htj2kSettings

SIDECAR_API = 1
"""The version of the plugin API that this was written for."""

INDEXES: Final = CountedCache("htj2k_indexes", "packet indexes in memory (`SIDECAR_HTJ2K_INDEX_MEMORY_BYTES`)")
log = logging.getLogger(__name__)


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """Register the table `htj2k`."""
    return [Htj2kSettings]


@hookimpl
def register_decoders(config: Config, native: Native) -> Iterable[Decoder]:
    """Register the decoder; none if OpenJPH does not load, so that `jp2` decodes HTJ2K, in whole tiles."""
    try:
        codec = OpenJph(load())
    except StartError as error:
        log.warning("HTJ2K is left to other decoders: %s", error)
        return []
    kept = kept_images(config, native)
    indexes = IndexCache(native, config.section(Htj2kSettings).index_memory_bytes, kept, lookups=INDEXES)
    alpha = config.section(Jp2Settings).alpha
    return [Htj2kDecoder(codec, indexes, native, alpha=alpha != "drop", alpha_is_optional=alpha == "auto")]
