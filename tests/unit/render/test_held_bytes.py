"""Sums of bytes in which profiles of equal content count once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.render.held_bytes import HeldBytes

HOLDERS = st.tuples(st.integers(0, 1000), st.sampled_from([None, b"sRGB", b"Adobe RGB", b"grey"]))


@given(added=st.lists(HOLDERS, max_size=20), kept=st.integers(0, 20))
def test_total_is_that_of_what_is_left(added: list[tuple[int, bytes | None]], kept: int) -> None:
    """Whatever was added and removed, the total is that of what is left: own bytes, and each profile once."""
    held = HeldBytes()
    for holder in added:
        held.add(*holder)
    for holder in added[kept:]:
        held.remove(*holder)
    left = added[:kept]
    profiles = {profile for _, profile in left if profile}
    assert held.total == sum(own for own, _ in left) + sum(map(len, profiles))
