"""The settings of the plugin, read from the table `htj2k` or from SIDECAR_HTJ2K_* variables."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field as Setting

from sidecar.plugin import Section


class Htj2kSettings(Section):
    """The settings in the table `htj2k`."""

    table: ClassVar[str] = "htj2k"

    index_memory_bytes: int = Setting(16 * 2**20, ge=0)
    """Bytes of packet indexes that a worker keeps in memory, as of the table `jp2`."""
