"""Opened images: leased to one request at a time, kept for the next, least recently used first out."""

from __future__ import annotations

from contextlib import ExitStack

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import Malformed, Unsupported
from sidecar.interfaces import Blob
from sidecar.readers import Readers
from sidecar.registry import Registry
from sidecar.testing.fakes import GradientDecoder, GradientReader, MemoryBlob, gradient

BLOBS = [MemoryBlob(f"{number}.gradient", gradient(10 + number, 10)) for number in range(4)]


def opened(keep: int) -> tuple[Readers, GradientDecoder]:
    """Readers of gradients, and their decoder."""
    decoder = GradientDecoder()
    return Readers(Registry((), {"gradient": decoder}, {}), keep), decoder


def test_reader_is_kept_for_the_next() -> None:
    """One request after the other gets the same reader."""
    readers, decoder = opened(2)
    for _ in range(3):
        with readers.lease(BLOBS[0]):
            assert (readers.leased, readers.idle) == (1, 0)
    assert (len(decoder.opened), readers.leased, readers.idle) == (1, 0, 1)


def test_no_reader_is_leased_twice() -> None:
    """Requests for the same image at the same time have a reader each."""
    readers, decoder = opened(5)
    with ExitStack() as stack:
        leased = [stack.enter_context(readers.lease(BLOBS[0])) for _ in range(3)]
        assert len({id(reader) for reader in leased}) == 3
    assert (len(decoder.opened), readers.idle) == (3, 3)


def test_least_recently_used_goes_first() -> None:
    """Beyond what is kept, the reader that was idle the longest is closed."""
    readers, decoder = opened(2)
    for number in (0, 1, 0, 2):
        with readers.lease(BLOBS[number]):
            pass
    assert {reader.info.size.width: reader.closed for reader in decoder.opened} == {10: False, 11: True, 12: False}


@pytest.mark.parametrize("error", [RuntimeError, gevent.GreenletExit])
def test_reader_of_a_failed_request_is_closed(error: type[BaseException]) -> None:
    """Whatever ended a request, its reader is not used again."""
    readers, decoder = opened(2)
    with pytest.raises(error), readers.lease(BLOBS[0]):
        raise error
    assert decoder.opened[0].closed
    assert (readers.leased, readers.idle) == (0, 0)


def test_reader_whose_info_fails_is_closed() -> None:
    """An image that was opened and then cannot say what it is leaves nothing open."""

    class Silent(GradientDecoder):
        def open(self, blob: Blob) -> GradientReader:
            reader = super().open(blob)
            del reader.info
            return reader

    decoder = Silent()
    readers = Readers(Registry((), {"gradient": decoder}, {}), 2)
    with pytest.raises(AttributeError), readers.lease(BLOBS[0]):
        pass
    assert decoder.opened[0].closed
    assert (readers.leased, readers.idle) == (0, 0)


def test_what_cannot_be_opened_is_not_leased() -> None:
    """A decoder's refusal passes through and counts nothing."""
    readers, _ = opened(2)
    with pytest.raises(Malformed):
        readers.info(MemoryBlob("x.gradient", b"gradient of nothing\n"))
    with pytest.raises(Unsupported), readers.lease(MemoryBlob("x.gradient", b"other")):
        pass
    assert (readers.leased, readers.idle) == (0, 0)


def test_info_is_known_without_a_reader() -> None:
    """Once opened, an image is described without being opened again, its reader being long gone or in use."""
    readers, decoder = opened(1)
    first = readers.info(BLOBS[0])
    readers.close()
    assert decoder.opened[0].closed
    assert readers.info(BLOBS[0]) is first
    assert len(decoder.opened) == 1


def test_changed_content_is_opened_anew() -> None:
    """Another etag is another image, though its name be the same."""
    readers, _ = opened(2)
    assert readers.info(MemoryBlob("x.gradient", gradient(5, 5))).size.width == 5
    assert readers.info(MemoryBlob("x.gradient", gradient(6, 5))).size.width == 6


def test_suffix_in_any_case() -> None:
    """`.GRADIENT` is `.gradient`."""
    readers, _ = opened(1)
    assert readers.info(MemoryBlob("X.GRADIENT", gradient(5, 5))).size.width == 5


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), keep=st.integers(1, 3))
def test_every_reader_is_leased_idle_or_closed(steps: list[tuple[int, bool]], keep: int) -> None:
    """Whatever requests come and go, no reader is closed while leased, leased twice, or forgotten while open."""
    readers, decoder = opened(keep)
    under_way: list[tuple[ExitStack, GradientReader]] = []
    for number, ends in steps:
        if ends and under_way:
            under_way.pop(number % len(under_way))[0].close()
        else:
            stack = ExitStack()
            reader = stack.enter_context(readers.lease(BLOBS[number]))
            assert isinstance(reader, GradientReader)
            under_way.append((stack, reader))
        leased = [reader for _, reader in under_way]
        assert len({id(reader) for reader in leased}) == len(leased) == readers.leased
        assert not any(reader.closed for reader in leased)
        assert sum(not reader.closed for reader in decoder.opened) == readers.leased + readers.idle
        assert readers.idle <= keep
    for stack, _ in under_way:
        stack.close()
    readers.close()
    assert all(reader.closed for reader in decoder.opened)
