"""Every key of Cantaloupe's configuration, and what becomes of it: one table in three parts.

TAKEN keys become settings of ours. WATCHED keys, where they say something that the sidecar does otherwise, are told at
start, and the requests they bear on are handed over. FOREIGN keys are Cantaloupe's own affair. A key of a source
(`S3Source.…`) means something only while `source.static` names that source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from sidecar.cantaloupe import values
from sidecar.cantaloupe.properties import Properties

Requests: TypeAlias = Literal["none", "enlarged", "scaled", "images", "all"]
"""What is handed over: nothing, images larger than their region, images of another size than their region, images
(info.json is still answered here), everything."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A setting of ours, the key it comes from and the reading of it; None leaves our default."""

    key: str
    """A pattern where several make the one setting."""
    table: str
    field: str
    read: Callable[[Properties, str], object]


@dataclass(frozen=True, slots=True)
class Watched:
    """A key that may say something the sidecar does not do."""

    key: str
    speaks: Callable[[Properties, str], bool]
    """Whether it does."""
    hand_over: Requests
    text: str
    guards: bool = False
    """Whether Cantaloupe may then refuse an image, or part of it, to some."""


SOURCES: Mapping[str, str] = MappingProxyType(
    {"FilesystemSource": "filesystem", "HttpSource": "http", "S3Source": "s3"}
)
"""Cantaloupe's sources and the tables of our plugins' settings."""

TAKEN: Sequence[Taken] = (
    Taken("base_uri", "", "base_uri", values.text()),
    Taken("slash_substitute", "", "slash_substitute", values.text()),
    Taken("max_pixels", "", "max_pixels", values.whole(0)),
    Taken("max_scale", "", "max_scale", values.real(1.0)),
    Taken(
        "meta_identifier.transformer.StandardMetaIdentifierTransformer.delimiter",
        "",
        "meta_identifier_delimiter",
        values.text(";"),
    ),
    Taken("endpoint.iiif.[23].enabled", "", "endpoints", values.endpoints),
    Taken("endpoint.iiif.min_size", "", "min_size", values.whole(64)),
    Taken("endpoint.iiif.min_tile_size", "", "min_tile_size", values.whole(512)),
    Taken("endpoint.iiif.restrict_to_sizes", "", "restrict_to_sizes", values.flag(default=False)),
    Taken("processor.background_color", "", "background_color", values.color),
    Taken("processor.downscale_filter", "", "downscale_filter", values.downscale_filter),
    Taken("processor.jpg.quality", "jpeg", "quality", values.whole(80)),
    Taken("cache.client.*", "", "cache_control", values.cache_control),
    Taken("FilesystemSource.BasicLookupStrategy.path_prefix", "filesystem", "path_prefix", values.text()),
    Taken("FilesystemSource.BasicLookupStrategy.path_suffix", "filesystem", "path_suffix", values.text()),
    Taken("HttpSource.BasicLookupStrategy.url_prefix", "http", "url_prefix", values.text()),
    Taken("HttpSource.BasicLookupStrategy.url_suffix", "http", "url_suffix", values.text()),
    Taken("HttpSource.BasicLookupStrategy.auth.basic.username", "http", "username", values.said),
    Taken("HttpSource.BasicLookupStrategy.auth.basic.secret", "http", "secret", values.said),
    Taken("HttpSource.allow_insecure", "http", "allow_insecure", values.flag(default=False)),
    Taken("HttpSource.request_timeout", "http", "timeout", values.said),
    Taken("S3Source.BasicLookupStrategy.bucket.name", "s3", "bucket", values.text()),
    Taken("S3Source.BasicLookupStrategy.path_prefix", "s3", "path_prefix", values.text()),
    Taken("S3Source.BasicLookupStrategy.path_suffix", "s3", "path_suffix", values.text()),
    Taken("S3Source.endpoint", "s3", "endpoint", values.said),
    Taken("S3Source.region", "s3", "region", values.said),
    Taken("S3Source.access_key_id", "s3", "access_key_id", values.said),
    Taken("S3Source.secret_key", "s3", "secret_key", values.said),
)

_OURS = values.unless("", *SOURCES)
_SCRIPT = values.equal("ScriptLookupStrategy")
_BY_SCRIPT = "a delegate script says where images are: set a source of the sidecar's own to answer here"

WATCHED: Sequence[Watched] = (
    # Whoever may see an image is decided by a script that only Cantaloupe runs.
    Watched("delegate_script.enabled", values.on, "none", "a delegate script may guard images", guards=True),
    Watched("source.delegate", values.on, "none", _BY_SCRIPT, guards=True),
    Watched("FilesystemSource.lookup_strategy", _SCRIPT, "none", _BY_SCRIPT, guards=True),
    Watched("HttpSource.lookup_strategy", _SCRIPT, "none", _BY_SCRIPT, guards=True),
    Watched("S3Source.lookup_strategy", _SCRIPT, "none", _BY_SCRIPT, guards=True),
    Watched("AzureStorageSource.lookup_strategy", _SCRIPT, "none", _BY_SCRIPT, guards=True),
    # Where images are.
    Watched("source.static", _OURS, "none", "no plugin reads from there: unless a source of the sidecar's own is set, "
            "every request is handed over"),
    Watched("HttpSource.proxy.http.host", values.said_at_all, "all", "images are not fetched through a proxy"),
    Watched("meta_identifier.transformer", values.unless("", "StandardMetaIdentifierTransformer"), "all",
            "only the standard form of meta-identifiers is understood"),
    # What is answered.
    Watched("endpoint.iiif.1.enabled", values.on, "none", "version 1 of the Image API is left to Cantaloupe"),
    # What the pixels are.
    Watched("overlays.strategy", values.equal("ScriptStrategy"), "images", "no overlays are drawn"),
    Watched("overlays.BasicStrategy.enabled", values.overlaid, "images", "no overlays are drawn"),
    Watched("processor.sharpen", values.sharpened, "images", "images are not sharpened"),
    Watched("processor.background_color", values.uncertain_color, "images", "not a colour, or not an opaque one"),
    Watched("processor.downscale_linear", values.on, "scaled", "scaling is not done in linear light"),
    Watched("processor.downscale_filter", values.unknown_filter, "scaled", "there is no such filter here"),
    Watched("processor.upscale_filter", values.other_upscale_filter, "enlarged",
            "enlarging is done with the filter of downscaling"),
    Watched("processor.jpg.progressive", values.on, "none", "JPEGs are streamed, and therefore baseline"),
    # What is kept.
    Watched("cache.server.derivative.enabled", values.on, "none", "answers of the sidecar are not kept there; let "
            "nginx keep them"),
    # Keys of Cantaloupe 4 that later ones dropped or renamed.
    Watched("endpoint.iiif.2.restrict_to_sizes", values.on, "images", "sizes restricted for one version only"),
    Watched("overlays.enabled", values.on, "images", "no overlays are drawn"),
    Watched("redaction.enabled", values.on, "images", "a delegate script may redact images", guards=True),
    Watched("processor.normalize", values.on, "images", "pixel values are not normalized"),
    Watched("processor.metadata.preserve", values.on, "none", "of metadata only the colour profile is kept"),
    Watched("processor.metadata.respect_orientation", values.on, "images", "images are not turned by their metadata"),
    Watched("scale_constraint_suffix.pattern", values.said_at_all, "none", "constraints are read in the form of later "
            "versions; an identifier with such a suffix is handed over, for no image has that name"),
)  # fmt: skip

FOREIGN: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Cantaloupe's own server, pages and logs": (
            "temp_pathname",
            "http.*",
            "https.*",
            "log_error_responses",
            "print_stack_trace_on_error_pages",
            "endpoint.admin.*",
            "endpoint.api.*",
            "endpoint.health.*",
            "log.*",
        ),
        "said by another key that is watched": (
            "delegate_script.*",
            "HttpSource.proxy.http.port",
            "overlays.BasicStrategy.*",
            "scale_constraint_suffix.format",
        ),
        "how Cantaloupe reads what the sidecar reads in ranges": (
            "HttpSource.BasicLookupStrategy.send_head_requests",
            "HttpSource.chunking.*",
            "S3Source.chunking.*",
            "processor.stream_retrieval_strategy",
            "processor.fallback_retrieval_strategy",
            "processor.purge_incompatible_from_source_cache",
        ),
        "sources that no plugin reads": ("AzureStorageSource.*", "JdbcSource.*"),
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

NAMED: Sequence[str] = (*(row.key for row in TAKEN), *(row.key for row in WATCHED))
"""The keys, and patterns of keys, that say something to the sidecar."""
