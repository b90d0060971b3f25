"""The part of a source's contract about listing images; skipped for sources that cannot."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from typing import Final

import pytest

from sidecar.plugin import ListsImages
from sidecar.testing.contracts.source_case import SourceCase, Store, found
from sidecar.testing.descriptors import all_come_back

_SUFFIXES: Final = frozenset({"jp2", "svs"})
_MANY: Final = 1000


class SourceListing(SourceCase):
    """The laws of `sidecar.plugin.ListsImages`."""

    def test_lists_what_is_there(self, store: Store) -> None:
        """Of a few images each is listed once, by an identifier that leads to it; suffixes count in any case."""
        listing = _listing(store)
        assert [*listing.listed(_SUFFIXES, _MANY)] == []
        images = {each for each in self.identifiers if each.rpartition(".")[2] in _SUFFIXES} | {"LARGE.JP2"}
        for identifier in (*self.identifiers, "LARGE.JP2", "text.txt", "jp2"):
            store.put(identifier, identifier.encode())
        names = [*listing.listed(_SUFFIXES, _MANY)]
        assert sorted(names) == sorted(images)
        for name in names:
            blob = found(store, name)
            assert blob.size == len(name.encode())
            assert blob.name.rpartition(".")[2].lower() in _SUFFIXES

    def test_lists_no_other_suffixes(self, store: Store) -> None:
        """Only the suffixes that are asked for are listed, and none at all if none is."""
        listing = _listing(store)
        for name in ("page.jp2", "slide.svs"):
            store.put(name, b"content")
        assert [*listing.listed(frozenset({"svs"}), _MANY)] == ["slide.svs"]
        assert [*listing.listed(frozenset(), _MANY)] == []

    def test_lists_no_more_than_asked_for(self, store: Store) -> None:
        """A bound holds, and what is listed within it is listed without it, too."""
        listing = _listing(store)
        for number in range(5):
            store.put(f"{number}.jp2", b"content")
        whole = {*listing.listed(_SUFFIXES, _MANY)}
        for most in (0, 1, 3):
            some = [*listing.listed(_SUFFIXES, most)]
            assert len(some) == most
            assert {*some} < whole

    def test_lists_nothing_outside(self, store: Store) -> None:
        """What the source is not set to serve is not listed, nor is anything that it does not find."""
        listing = _listing(store)
        store.put("page.jp2", b"content")
        assert [*listing.listed(_SUFFIXES, _MANY)] == ["page.jp2"]

    def test_descriptors_of_listing_come_back(self, store: Store) -> None:
        """After listing nothing stays open but what was open after the first time."""
        listing = _listing(store)
        store.put("folder/in folder/page.jp2", b"content")
        listing.listed(_SUFFIXES, _MANY)  # connections and threads that are kept
        with all_come_back():
            for _ in range(20):
                listing.listed(_SUFFIXES, 1)


def _listing(store: Store) -> ListsImages:
    if not isinstance(store.source, ListsImages):
        pytest.skip("it lists no images")
    return store.source
