"""How far fetching and decoding run ahead of the strip that is encoded: one value that all three stages share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lookahead:
    """Bands in each stage. Fetching, decoding and the memory estimate read the same value."""

    fetch: int = 2
    """Bands that are fetched beside the one that is handed to the native threads."""
    decode: int = 1
    """Bands that are decoded beside the next one."""

    @property
    def fetched(self) -> int:
        """Bands whose compressed bytes are in memory at once."""
        return 1 + self.fetch

    @property
    def under_way(self) -> int:
        """Bands decoded or being decoded that no strip lies in yet."""
        return 1 + self.decode

    @property
    def held(self) -> int:
        """Bands of pixels in memory at once: the one or two that the strip lies in, and those under way."""
        return 2 + self.under_way
