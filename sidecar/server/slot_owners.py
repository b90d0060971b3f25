"""Which worker answers at which slot, in a page of memory that the master shares with its workers: it needs no disk.

The master alone says who owns a slot; the owner alone says how it does. Every worker has every slot's socket, so what
waits there is never lost: as long as nobody owns a slot, or its owner does not stir, others accept connections there.
If the owner has too much to do, those accept them that have not.

The page is made when the master imports this module, and workers have it by being forked.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Final

MOST: Final = 1024
"""Slots that there can be."""
_OWNER: Final = struct.Struct("=I")
_STATE: Final = struct.Struct("=d?")
_SIZE: Final = 16
_ALIVE: Final = 0.3
"""Seconds for which a sign of life counts: six turns of `accepting`."""


class SlotOwners:
    """The owners of slots, which are numbered from 0, and how these do."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, MOST * _SIZE)

    def assign(self, slots: int, workers: int, serving: Sequence[int]) -> None:
        """Give each slot an owner among the processes that serve, if there is one. Called in the master only.

        `workers`: how many there should be, of which some may only be on their way.
        """
        former = [self.owner(slot) for slot in range(slots)]
        for slot, owner in enumerate(assigned(former, workers, serving)):
            if owner != former[slot]:
                _OWNER.pack_into(self._page, slot * _SIZE, owner)

    def owner(self, slot: int) -> int:
        """Return the number of the process that owns a slot; 0 for none."""
        (owner,) = _OWNER.unpack_from(self._page, slot * _SIZE)
        return int(owner)

    def report(self, slot: int, *, crowded: bool) -> None:
        """Show that the owner of a slot is alive, and whether it has too much to do. Called by the owner only."""
        _STATE.pack_into(self._page, slot * _SIZE + _OWNER.size, monotonic(), crowded)

    def is_answered(self, slot: int) -> bool:
        """Return whether a slot has an owner that is alive."""
        seen, _ = self._state(slot)
        return self.owner(slot) != 0 and monotonic() - seen < _ALIVE

    def is_crowded(self, slot: int) -> bool:
        """Return whether the owner of a slot has said last that it has too much to do."""
        _, crowded = self._state(slot)
        return crowded

    def _state(self, slot: int) -> tuple[float, bool]:
        seen, crowded = _STATE.unpack_from(self._page, slot * _SIZE + _OWNER.size)
        return float(seen), bool(crowded)


def assigned(former: Sequence[int], workers: int, serving: Sequence[int]) -> list[int]:
    """Return the slots' owners: whoever serves keeps its slots, up to its share, and those without an owner get one."""
    share = -(-len(former) // max(1, workers))
    owned: Counter[int] = Counter()
    owners: list[int] = []
    for owner in former:
        keeps = owner in serving and owned[owner] < share
        owned[owner] += keeps
        owners.append(owner if keeps else 0)
    for slot in (slot for slot, owner in enumerate(owners) if not owner):
        found = min(serving, key=lambda pid: owned[pid], default=0)
        if found and owned[found] < share:
            owners[slot] = found
            owned[found] += 1
    return owners


OWNERS: Final = SlotOwners()
