"""JPEG 2000 through OpenJPEG, for the image sidecar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field as Setting

from sidecar import Config, Section, hookimpl
from sidecar.interfaces import Decoder, Native
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.disk import Disk
from sidecar_jp2.library import bind
from sidecar_jp2.openjpeg import OpenJpeg
from sidecar_jp2.store import IndexStore


class Settings(Section):
    """The plugin's settings."""

    table: ClassVar[str] = "jp2"

    library: str = ""
    """The OpenJPEG to use, as a path; empty: the newest of the system's and the one in Pillow's wheel."""
    alpha: Literal["keep", "drop"] = "keep"
    """Whether opacity is given with the colours. Cantaloupe's OpenJpegProcessor drops it."""
    index_memory: int = Setting(32 * 2**20, ge=0)
    """Bytes of packet indexes that a worker keeps in memory: some 50 to 100 KB for an image of 80 MP."""
    index_folder: Path | None = None
    """Where packet indexes are kept for other workers and the next start; empty: nowhere. A local disk."""
    index_disk: int = Setting(256 * 2**20, ge=0)
    """Bytes of packet indexes kept there."""


@hookimpl
def register_settings() -> Iterable[type[Section]]:
    """The section `jp2`."""
    return [Settings]


@hookimpl
def register_decoders(config: Config, native: Native) -> Iterable[Decoder]:
    """One decoder for the whole family. Raises StartError without an OpenJPEG."""
    settings = config.section(Settings)
    disk = Disk(settings.index_folder, settings.index_disk) if settings.index_folder else None
    indexes = IndexStore(native, settings.index_memory, disk)
    return [Jp2Decoder(OpenJpeg(bind(settings.library)), alpha=settings.alpha == "keep", cutters=indexes.cutter)]
