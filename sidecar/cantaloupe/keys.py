"""Every key of Cantaloupe's configuration that concerns the core, and its effect: one table in three parts.

TAKEN keys become settings of the core; keys that become settings of a plugin stand on the fields of its section
(`FromCantaloupe`). WATCHED keys, if they ask for behaviour that the sidecar lacks, are reported at start, and the
requests that they affect are handed over. FOREIGN keys concern Cantaloupe alone. A key of a source (`S3Source.…`)
counts only while `source.static` names that source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sidecar.cantaloupe import readings
from sidecar.cantaloupe.properties import Properties
from sidecar.config import Extent


@dataclass(frozen=True, slots=True)
class Taken:
    """A setting of the core, the key it comes from and the reading of it; None leaves our default."""

    key: str
    """A pattern if several keys make the one setting."""
    field: str
    read: Callable[[Properties, str], object]


@dataclass(frozen=True, slots=True)
class Watched:
    """A key that may ask for something that the sidecar does not do."""

    key: str
    applies: Callable[[Properties, str], bool]
    """Whether it does."""
    hand_over: Extent
    text: str
    guards: bool = False
    """Whether Cantaloupe may then refuse an image, or part of it, to some."""
    by_delegate: bool = False
    """Whether it is the delegate script that may: not if it only looks images up."""


TAKEN: Sequence[Taken] = (
    Taken("base_uri", "base_uri", readings.text()),
    Taken("endpoint.iiif.[23].path", "prefix", readings.prefix),
    Taken("slash_substitute", "slash_substitute", readings.text()),
    Taken("max_pixels", "max_pixels", readings.whole(0)),
    Taken("max_scale", "max_scale", readings.real(1.0)),
    Taken(
        "meta_identifier.transformer.StandardMetaIdentifierTransformer.delimiter",
        "meta_identifier_delimiter",
        readings.text(";"),
    ),
    Taken("endpoint.iiif.[23].enabled", "endpoints", readings.endpoints),
    Taken("endpoint.iiif.min_size", "min_size", readings.whole(64)),
    Taken("endpoint.iiif.min_tile_size", "min_tile_size", readings.whole(512)),
    Taken("endpoint.iiif.restrict_to_sizes", "restrict_to_sizes", readings.flag(default=False)),
    Taken("processor.background_color", "background_color", readings.color),
    Taken("processor.downscale_filter", "downscale_filter", readings.downscale_filter),
    Taken("cache.client.*", "cache_control", readings.cache_control),
    Taken("http.*", "cantaloupe_url", readings.own_url),
)

_SCRIPT = readings.equal("ScriptLookupStrategy")
_BY_SCRIPT = (
    "a delegate script says where images are: to answer here, set a lookup (SIDECAR_HTTP_LOOKUP, SIDECAR_S3_LOOKUP and "
    "the like) or another source of the sidecar's own"
)
_ELSEWHERE = "the sidecar answers below `…/iiif/2/` and `…/iiif/3/` alone: URLs of this endpoint are Cantaloupe's"

WATCHED: Sequence[Watched] = (
    # Whoever may see an image is decided by a script that only Cantaloupe runs.
    Watched("delegate_script.enabled", readings.on, "", "a delegate script may guard images", guards=True,
            by_delegate=True),
    Watched("source.delegate", readings.on, "", _BY_SCRIPT, guards=True, by_delegate=True),
    Watched("FilesystemSource.lookup_strategy", _SCRIPT, "", _BY_SCRIPT, guards=True, by_delegate=True),
    Watched("HttpSource.lookup_strategy", _SCRIPT, "", _BY_SCRIPT, guards=True, by_delegate=True),
    Watched("S3Source.lookup_strategy", _SCRIPT, "", _BY_SCRIPT, guards=True, by_delegate=True),
    Watched("AzureStorageSource.lookup_strategy", _SCRIPT, "", _BY_SCRIPT, guards=True, by_delegate=True),
    # Where images are.
    Watched("HttpSource.proxy.http.host", readings.present, "all", "images are not fetched through a proxy"),
    Watched("meta_identifier.transformer", readings.unless("", "StandardMetaIdentifierTransformer"), "all",
            "only the standard form of meta-identifiers is understood"),
    # What is answered.
    Watched("endpoint.iiif.1.enabled", readings.on, "", "version 1 of the Image API is left to Cantaloupe"),
    Watched("endpoint.iiif.2.path", readings.other_path, "", _ELSEWHERE),
    Watched("endpoint.iiif.3.path", readings.other_path, "", _ELSEWHERE),
    # What the pixels are.
    Watched("overlays.strategy", readings.equal("ScriptStrategy"), "images", "no overlays are drawn"),
    Watched("overlays.BasicStrategy.enabled", readings.overlaid, "images", "no overlays are drawn"),
    Watched("processor.sharpen", readings.sharpened, "images", "images are not sharpened"),
    Watched("processor.background_color", readings.uncertain_color, "images", "not a colour, or not an opaque one"),
    Watched("processor.downscale_linear", readings.on, "scaled", "scaling is not done in linear light"),
    Watched("processor.downscale_filter", readings.unknown_filter, "scaled", "the sidecar has no such filter"),
    Watched("processor.upscale_filter", readings.other_upscale_filter, "enlarged",
            "enlarging is done with the filter of downscaling"),
    Watched("processor.jpg.progressive", readings.on, "", "JPEGs are streamed, and therefore baseline; "
            "SIDECAR_JPEG_PROGRESSIVE_PIXELS makes small ones progressive"),
    # What is kept.
    Watched("cache.server.derivative.enabled", readings.on, "", "responses of the sidecar are not kept there; let "
            "nginx keep them"),
    # Keys of Cantaloupe 4 that later ones dropped or renamed.
    Watched("endpoint.iiif.2.restrict_to_sizes", readings.on, "images", "sizes restricted for one version only"),
    Watched("overlays.enabled", readings.on, "images", "no overlays are drawn"),
    Watched("redaction.enabled", readings.on, "images", "a delegate script may redact images", guards=True),
    Watched("processor.normalize", readings.on, "images", "pixel values are not normalized"),
    Watched("processor.metadata.preserve", readings.on, "", "of metadata only the colour profile is kept"),
    Watched("processor.metadata.respect_orientation", readings.present, "", "images are turned as Cantaloupe 5 does, "
            "which has no such key; Cantaloupe 4 turns no JPEG 2000: set SIDECAR_ORIENTATION=stored beside it"),
    Watched("scale_constraint_suffix.pattern", readings.present, "", "constraints are read in the form of later "
            "versions; an identifier with such a suffix is handed over, for no image has that name"),
)  # fmt: skip

FOREIGN: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Cantaloupe's own server, pages and logs": (
            "temp_pathname",
            "https.*",
            "log_error_responses",
            "print_stack_trace_on_error_pages",
            "endpoint.admin.*",
            "endpoint.api.*",
            "endpoint.health.*",
            "log.*",
        ),
        "covered by another key that is watched": (
            "delegate_script.*",
            "HttpSource.proxy.http.port",
            "overlays.BasicStrategy.*",
            "scale_constraint_suffix.format",
        ),
        "how Cantaloupe reads what the sidecar reads in ranges": (
            "HttpSource.BasicLookupStrategy.send_head_requests",
            "HttpSource.chunking.*",
            "S3Source.chunking.*",
            "AzureStorageSource.chunking.*",
            "processor.stream_retrieval_strategy",
            "processor.fallback_retrieval_strategy",
            "processor.purge_incompatible_from_source_cache",
        ),
        "sources that no plugin of ours stands for": ("JdbcSource.*",),
        "which of Cantaloupe's processors makes the same pixels": (
            "processor.selection_strategy",
            "processor.ManualSelectionStrategy.*",
            "processor.imageio.*",
            "*Processor.path_to_binaries",
        ),
        "source and output formats that are always handed over": (
            "processor.dpi",
            "processor.pdf.*",
            "processor.tif.compression",
        ),
        "Cantaloupe's own caches": (
            "cache.server.*",
            "FilesystemCache.*",
            "HeapCache.*",
            "JdbcCache.*",
            "S3Cache.*",
            "AzureStorageCache.*",
            "RedisCache.*",
        ),
        "read already": ("extends",),
    }
)
"""Why, and patterns of keys."""

SOURCE_KEY: Final = "source.static"
"""Names the source in use; without a plugin that stands for it, no image is found."""
NAMED: Sequence[str] = (SOURCE_KEY, *(row.key for row in TAKEN), *(row.key for row in WATCHED))
"""The keys, and patterns of keys, that have an effect on the core."""
