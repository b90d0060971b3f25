"""What every source must hold: subclass SourceContract in a test file, say how a blob gets there, and run pytest.

class TestShelf(SourceContract):
    @pytest.fixture
    def store(self, tmp_path: Path, native: Native) -> Store:
        return Store(ShelfSource(tmp_path, native), lambda identifier, content: put(tmp_path, identifier, content))
"""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.plugin import ByteRange, SourceChanged, SourceError, SupportsLocalFile
from sidecar.testing.contracts.source_case import Store, content_of, found
from sidecar.testing.contracts.source_listing import SourceListing
from sidecar.testing.descriptors import all_come_back

__all__ = ["SourceContract", "Store"]

_laws = settings(max_examples=100, deadline=None, database=None, derandomize=True)
_CONTENT = bytes(range(256)) * 20


class SourceContract(SourceListing):
    """The laws of `sidecar.plugin.Source` and `Blob`, and of what a source may do besides."""

    def test_finds_what_is_there(self, store: Store) -> None:
        """Each identifier leads to its own content, whole, under a name with the same suffix."""
        contents = {identifier: identifier.encode() * 10 for identifier in self.identifiers}
        for identifier, content in contents.items():
            store.put(identifier, content)
        for identifier, content in contents.items():
            blob = found(store, identifier)
            assert blob.size == len(content)
            assert content_of(blob) == content
            assert blob.name.rpartition(".")[2] == identifier.rpartition("/")[2].rpartition(".")[2]
            assert blob.path is None or blob.path.read_bytes() == content

    def test_etag_and_time(self, store: Store) -> None:
        """The etag may stand in a header as it is, and times are aware and of whole seconds (RFC 9110 §5.6.7, §8.8)."""
        store.put("page.jp2", b"content")
        blob = found(store, "page.jp2")
        assert blob.etag.isascii()
        assert blob.etag.isprintable()
        assert not {*'" \\,'} & {*blob.etag}
        if blob.last_modified is not None:
            assert blob.last_modified.utcoffset() is not None
            assert blob.last_modified.microsecond == 0

    def test_empty_blob(self, store: Store) -> None:
        """A blob of no bytes is found and read as one, not as an error."""
        store.put("empty.jp2", b"")
        blob = found(store, "empty.jp2")
        assert blob.size == 0
        assert content_of(blob) == b""

    @pytest.mark.parametrize(
        "identifier",
        [
            *("", "missing.jp2", "folder", "folder/", "folder/page.jp2/", "folder/page.jp2/more", "folder/page"),
            *(".", "..", "/", "//", "\n", "*", "%", "\0", "page.jp2\0", "\udcff.jp2", "\ud800.jp2"),
            *("x" * 5000, "x/" * 3000),
        ],
        ids=lambda identifier: ascii(identifier[:20]),
    )
    def test_unknown(self, store: Store, identifier: str) -> None:
        """An identifier that no blob has finds None, however it is spelled."""
        store.put("page.jp2", b"content")
        store.put("folder/page.jp2", b"content")
        assert store.source.find(identifier) is None

    def test_nothing_outside(self, store: Store) -> None:
        """What the source is not set to serve finds None."""
        for identifier in store.outside:
            assert store.source.find(identifier) is None, identifier

    def test_no_spelling_leads_outside(self, store: Store) -> None:
        """Any text at all finds nothing, or a blob that was put there."""
        contents = {"page.jp2": b"page", "folder/page.jp2": b"page in folder"}
        for identifier, content in contents.items():
            store.put(identifier, content)
        parts = st.sampled_from(["..", ".", "/", "\\", "%2e", "\0", "folder", "page.jp2", "~", *store.outside])
        spellings = st.one_of(
            st.text(st.characters(exclude_categories=())), st.lists(parts, max_size=8).map("".join), parts
        )

        @given(identifier=spellings)
        @_laws
        def law(identifier: str) -> None:
            blob = store.source.find(identifier)
            assert blob is None or content_of(blob) in contents.values()

        law()

    def test_etag_follows_content(self, store: Store) -> None:
        """The etag stays while the content stays, and no two blobs or contents share one, not even of the same size."""
        store.put("one.jp2", b"content 1")
        store.put("two.jp2", b"content 1")
        first = found(store, "one.jp2").etag
        assert found(store, "one.jp2").etag == first
        assert found(store, "two.jp2").etag != first
        store.put("one.jp2", b"content 2")
        assert found(store, "one.jp2").etag != first

    @pytest.mark.parametrize("content", [b"content 2", b"more content", b"less", b""])
    def test_changed_content_is_never_mixed_up(self, store: Store, content: bytes) -> None:
        """A blob found before a change still reads the bytes from before it, or raises SourceChanged."""
        store.put("page.jp2", b"content 1")
        blob = found(store, "page.jp2")
        store.put("page.jp2", content)
        with suppress(SourceChanged):
            assert content_of(blob) == b"content 1"

    def test_local_files(self, store: Store) -> None:
        """A blob that knows its file states the one that holds its bytes, and the file notices when it is replaced."""
        store.put("page.jp2", b"content 1")
        blob = found(store, "page.jp2")
        if not isinstance(blob, SupportsLocalFile):
            pytest.skip("its blobs do not say which file they are")
        assert blob.file.path == blob.path
        assert blob.file.read([ByteRange(0, blob.size)]) == [b"content 1"]
        blob.file.check()
        store.put("page.jp2", b"content 2")
        with pytest.raises(SourceChanged):
            blob.file.check()

    def test_ranges_are_exact(self, store: Store) -> None:
        """Any ranges, in any order, overlapping or empty, come back each as it is in the content."""
        store.put("page.jp2", _CONTENT)
        blob = found(store, "page.jp2")
        ends = st.integers(0, len(_CONTENT))
        ranges = st.lists(st.tuples(ends, ends).map(lambda pair: ByteRange(*sorted(pair))), max_size=12)

        @given(ranges=ranges)
        @_laws
        def law(ranges: Sequence[ByteRange]) -> None:
            wanted = [_CONTENT[start:stop] for start, stop in ranges]
            assert [bytes(buffer) for buffer in blob.read(ranges)] == wanted

        law()

    @pytest.mark.parametrize("start, stop", [(0, 5121), (5120, 5121), (9000, 9001), (-1, 10), (-5, -1), (20, 10)])
    def test_ranges_that_are_none(self, store: Store, start: int, stop: int) -> None:
        """A range that the content does not have is an error, never fewer bytes, not even among others."""
        store.put("page.jp2", _CONTENT)
        blob = found(store, "page.jp2")
        with pytest.raises(SourceError):
            blob.read([ByteRange(0, 10), ByteRange(start, stop)])

    def test_many_at_once(self, store: Store) -> None:
        """Greenlets that find and read at the same time get the content of their own identifier each."""
        contents = {f"{number}.jp2": bytes([number]) * 3000 for number in range(20)}
        for identifier, content in contents.items():
            store.put(identifier, content)

        def look(identifier: str) -> bytes:
            blob = found(store, identifier)
            pieces = blob.read([ByteRange(0, 1000), ByteRange(1000, 3000)])
            return b"".join(bytes(piece) for piece in pieces)

        jobs = {identifier: gevent.spawn(look, identifier) for identifier in contents}
        gevent.joinall([*jobs.values()], raise_error=True)
        assert {identifier: job.value for identifier, job in jobs.items()} == contents

    def test_descriptors_come_back(self, store: Store) -> None:
        """After finding, reading and failing nothing stays open but what was open after the first time."""
        store.put("folder/in folder/page.jp2", _CONTENT)

        def use() -> None:
            blob = found(store, "folder/in folder/page.jp2")
            content_of(blob)
            with pytest.raises(SourceError):
                blob.read([ByteRange(0, blob.size + 1)])
            store.source.find("folder/missing.jp2")

        use()  # connections and threads that are kept
        with all_come_back():
            for _ in range(20):
                use()
