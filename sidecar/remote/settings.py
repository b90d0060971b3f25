"""The settings that every far source has, in the source's own table."""

from __future__ import annotations

from pydantic import Field as Setting

from sidecar.config import Section


class RemoteSettings(Section):
    """Base of a far source's settings."""

    timeout: float = Setting(15.0, gt=0)
    """Seconds that one fetch may take, with waiting for its turn and all further attempts."""
    connect_timeout: float = Setting(3.0, gt=0)
    """Seconds that one connection may take."""
    stall_timeout: float = Setting(5.0, gt=0)
    """Seconds of silence after which an attempt is given up."""
    attempts: int = Setting(4, ge=1)
    """How often a failing request is made, the first time included."""
    concurrency: int = Setting(16, ge=1)
    """Requests of a worker that are under way at once."""
    freshness: float = Setting(30.0, ge=0)
    """Seconds for which an object that was found is not asked for again."""
    block: int = Setting(32 * 2**10, ge=2**12)
    """Bytes of the blocks that are fetched and kept."""
    gap: int = Setting(64 * 2**10, ge=0)
    """Bytes nobody asked for that are fetched to save a request."""
    span: int = Setting(4 * 2**20, ge=2**12)
    """Bytes of the longest single request; more is fetched over several connections."""
    cache: int = Setting(64 * 2**20, ge=0)
    """Bytes of blocks that a worker keeps."""
