"""A source under test, and what tests do with it."""
# ruff: noqa: S101  # these are tests, though they are shipped

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from sidecar.plugin import Blob, ByteRange, Native, Source
from sidecar.testing.native_threads import native_threads


@dataclass(frozen=True)
class Store:
    """A source under test and a way around it."""

    source: Source
    put: Callable[[str, bytes], None]
    """Stores a content, which an identifier leads to from now on."""
    outside: Sequence[str] = ()
    """Identifiers that would lead to something the source is not set to serve, if it let them."""


class SourceCase:
    """What the classes of laws have in common."""

    identifiers: ClassVar[Sequence[str]] = (
        "page.jp2",
        "volume 1/page+2.jp2",
        "größe/日本.svs",
        "100%25/a?b=c&d#e.jp2",
        "no-suffix",
        "back\\slash.jp2",
        "...jp2",
    )
    """Identifiers that the storage can hold."""

    @pytest.fixture
    def native(self) -> Iterator[Native]:
        """Run threads for a source that needs some."""
        with native_threads() as native:
            yield native

    @pytest.fixture
    def store(self) -> Store:
        """Return an empty storage, its source, and what lies outside. To be overridden."""
        raise NotImplementedError


def found(store: Store, identifier: str) -> Blob:
    """Return the blob of an identifier that has one."""
    blob = store.source.find(identifier)
    assert blob is not None, identifier
    return blob


def content_of(blob: Blob) -> bytes:
    """Return all bytes of a blob."""
    (content,) = blob.read([ByteRange(0, blob.size)])
    return bytes(content)


def content_at(source: Source, identifier: str) -> bytes | None:
    """Return all bytes that an identifier leads to; None if it leads nowhere."""
    blob = source.find(identifier)
    return None if blob is None else content_of(blob)
