"""Who answers at which slot: the master's choice, and what is known of the owner."""

from __future__ import annotations

import pytest

from sidecar.server import slot_owners
from sidecar.server.slot_owners import SlotOwners, assigned


@pytest.mark.parametrize(
    "former, workers, serving, found",
    [
        ([0, 0], 2, [], [0, 0]),
        ([0, 0], 2, [7, 8], [7, 8]),
        # The second of two workers is on its way: its slot waits for it.
        ([0, 0], 2, [7], [7, 0]),
        ([7, 8], 2, [8], [0, 8]),
        ([0, 8], 2, [8, 9], [9, 8]),
        # Both generations serve during a reload; the old one keeps its slots until it is told to stop.
        ([7, 8], 2, [7, 8, 9, 10], [7, 8]),
        ([7, 8], 2, [9, 10], [9, 10]),
        # Fewer workers have several slots, more of them share these out again.
        ([7, 8], 1, [9], [9, 9]),
        ([9, 9, 0], 3, [9, 10, 11], [9, 10, 11]),
        ([7, 8], 3, [7, 8, 9], [7, 8]),
        ([], 2, [7], []),
    ],
)
def test_each_slot_has_an_owner(former: list[int], workers: int, serving: list[int], found: list[int]) -> None:
    """Whoever serves keeps its slots, and those without an owner go to whoever has fewest."""
    assert assigned(former, workers, serving) == found


def test_an_owner_that_does_not_stir(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot is answered as long as its owner has been heard of a moment ago; another owner begins anew."""
    owners, now = SlotOwners(), [100.0]
    monkeypatch.setattr(slot_owners, "monotonic", lambda: now[0])
    owners.assign(2, 2, [7, 8])
    assert (owners.owner(0), owners.owner(1), owners.is_answered(1)) == (7, 8, False)
    owners.report(1, crowded=True)
    now[0] += 0.2
    assert (owners.is_answered(0), owners.is_answered(1), owners.is_crowded(1)) == (False, True, True)
    owners.report(1, crowded=False)
    assert not owners.is_crowded(1)
    now[0] += 1
    assert not owners.is_answered(1)
    owners.report(1, crowded=False)
    owners.assign(2, 2, [7])
    assert (owners.owner(1), owners.is_answered(1)) == (0, False)
