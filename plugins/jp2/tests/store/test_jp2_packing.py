"""Entries as bytes: what is packed comes back, and nothing else is believed, whoever has written it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn
from numpy.typing import NDArray
from sidecar_jp2.store import packing
from sidecar_jp2.store.packing import HEAD_BYTES, KINDS, SEAL_BYTES, Arrays, Corrupt, Extent, Packing, extent_of

ARRAYS = st.fixed_dictionaries({field: drawn(np.dtype(kind), st.integers(0, 9)) for field, kind in KINDS.items()})
EXTENTS = st.builds(Extent, st.integers(0, (1 << 32) - 1), st.booleans())
EMPTY: Arrays = {field: np.zeros(0, kind) for field, kind in KINDS.items()}


@settings(max_examples=20, deadline=None)
@given(ARRAYS, EXTENTS, st.text(), st.text(max_size=200))
def test_what_is_packed_comes_back(arrays: dict[str, NDArray[Any]], extent: Extent, name: str, secret: str) -> None:
    """Arrays are the same, bit by bit, and the beginning of an entry says how much it knows."""
    data = Packing(secret).pack(name, arrays, extent)
    assert extent_of(data[:HEAD_BYTES]) == extent
    found = Packing(secret).unpack(name, data)
    assert found.keys() == arrays.keys()
    assert all(found[field].tobytes() == arrays[field].tobytes() for field in KINDS)


@settings(max_examples=20, deadline=None)
@given(ARRAYS, st.data())
def test_a_changed_bit_is_seen(arrays: dict[str, NDArray[Any]], data: st.DataObject) -> None:
    """Whatever bit of an entry is changed, it is refused."""
    entry = bytearray(Packing().pack("a", arrays, Extent(1, complete=True)))
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        Packing().unpack("a", bytes(entry))


@given(st.binary(max_size=300))
def test_anything_else_is_refused(content: bytes) -> None:
    """Bytes of any kind are no entry, with the beginning of one or without."""
    for data in (content, Packing().pack("a", EMPTY, Extent(0, complete=False))[:HEAD_BYTES] + content):
        with pytest.raises(Corrupt):
            Packing().unpack("a", data)


def test_an_entry_is_of_one_image_and_one_secret() -> None:
    """An entry under the name of another image is refused, and so is one that was written with another secret."""
    entry = Packing("ours").pack("a", EMPTY, Extent(0, complete=False))
    assert Packing("ours").unpack("a", entry).keys() == KINDS.keys()
    for secret, name in (("ours", "b"), ("theirs", "a"), ("", "a")):
        with pytest.raises(Corrupt):
            Packing(secret).unpack(name, entry)


@pytest.mark.parametrize("body", [zlib.compress(bytes(1 << 20)), zlib.compress(b"")[:-2], b"", b"no zlib"])
def test_a_body_that_is_sealed_and_wrong(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that would become too large, that ends too soon or that holds something else is refused, though sealed."""
    monkeypatch.setattr(packing, "MOST_UNPACKED", 1 << 16)
    head = Packing().pack("a", EMPTY, Extent(0, complete=False))[:HEAD_BYTES]
    seal = Packing()._seal("a", head, body)
    assert len(seal) == SEAL_BYTES
    with pytest.raises(Corrupt):
        Packing().unpack("a", head + seal + body)
