"""The laws of listing catch sources that break them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sidecar.testing.contracts.source import Store
from sidecar.testing.contracts.source_listing import SourceListing
from sidecar.testing.fakes import MemoryBlob, MemorySource

_List = Callable[[dict[str, MemoryBlob], frozenset[str], int], Sequence[str]]


class Listing(MemorySource):
    """Lists its table, in a way of its own."""

    def __init__(self, table: dict[str, MemoryBlob], names: _List) -> None:
        super().__init__(table)
        self._table, self._names = table, names

    def listed(self, suffixes: frozenset[str], most: int) -> Sequence[str]:
        """See ListsImages."""
        return self._names(self._table, suffixes, most)


def honest(table: dict[str, MemoryBlob], suffixes: frozenset[str], most: int) -> Sequence[str]:
    return sorted(name for name in table if "." in name and name.rpartition(".")[2].lower() in suffixes)[:most]


def store(names: _List) -> Store:
    table: dict[str, MemoryBlob] = {}

    def put(identifier: str, content: bytes) -> None:
        table[identifier] = MemoryBlob(identifier, content)

    return Store(Listing(table, names), put)


LAWS = (
    SourceListing.test_lists_what_is_there,
    SourceListing.test_lists_no_other_suffixes,
    SourceListing.test_lists_no_more_than_asked_for,
    SourceListing.test_lists_nothing_outside,
    SourceListing.test_descriptors_of_listing_come_back,
)


@pytest.mark.parametrize("law", LAWS)
def test_an_honest_source_keeps_them(law: Callable[[SourceListing, Store], None]) -> None:
    """A source that lists what it finds keeps all laws."""
    law(SourceListing(), store(honest))


@pytest.mark.parametrize(
    "law, names",
    [
        (LAWS[0], lambda table, suffixes, most: [*honest(table, suffixes, most)] * 2),
        (LAWS[0], lambda table, suffixes, most: [f"images/{name}" for name in honest(table, suffixes, most)]),
        (LAWS[0], lambda table, suffixes, most: [name for name in table if name.rpartition(".")[2] in suffixes][:most]),
        (LAWS[1], lambda table, _, most: [*table][:most]),
        (LAWS[2], lambda table, suffixes, _: honest(table, suffixes, 1000)),
        (LAWS[3], lambda table, suffixes, most: [*honest(table, suffixes, most), "../secret.jp2"][:most]),
    ],
    ids=["twice", "astray", "case and dots", "anything", "all", "outside"],
)
def test_others_break_one(law: Callable[[SourceListing, Store], None], names: _List) -> None:
    """Each way of listing something else breaks a law."""
    with pytest.raises(AssertionError):
        law(SourceListing(), store(names))
