"""Bytes that many objects hold, kept as a sum: ICC profiles of equal content are held, and counted, once."""

from __future__ import annotations

from collections import Counter


class HeldBytes:
    """A sum of bytes. Adding and removing takes as long whatever there is in it."""

    def __init__(self) -> None:
        self.total = 0
        self._profiles: Counter[bytes] = Counter()
        """How many of what was added have a profile."""

    def add(self, own: int, profile: bytes | None) -> None:
        """Add what holds some bytes of its own, and perhaps a profile."""
        self.total += own + self._used(profile, 1)

    def remove(self, own: int, profile: bytes | None) -> None:
        """Take away what was added."""
        self.total -= own + self._used(profile, -1)

    def _used(self, profile: bytes | None, change: int) -> int:
        """Count one more or one less use of a profile; returns its bytes at the first use, and at the last."""
        if profile is None:
            return 0
        before = self._profiles[profile]
        self._profiles[profile] = before + change
        if before + change == 0:
            del self._profiles[profile]
        return len(profile) if min(before, before + change) == 0 else 0
