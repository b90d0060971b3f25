"""Opened images: shared by all requests for them, kept for the next ones, least recently used closed first."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ClientGone, DecodeError, PluginFailure, SidecarError
from sidecar.plugin import Blob, Malformed, SourceError, Unsupported
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.reader_cache import ReaderCache
from sidecar.testing.fakes import GradientDecoder, GradientReader, MemoryBlob, gradient

BLOBS = [MemoryBlob(f"{number}.gradient", gradient(10 + number, 10)) for number in range(4)]


def opened(keep: int) -> tuple[ReaderCache, GradientDecoder]:
    """Return a cache of gradients, and their decoder."""
    decoder = GradientDecoder()
    return ReaderCache(DecoderChoice([decoder]), keep), decoder


def test_reader_is_kept_for_the_next() -> None:
    """One request after the other gets the same reader."""
    readers, decoder = opened(2)
    for _ in range(3):
        with readers.lease(BLOBS[0]):
            assert (readers.leased, readers.idle) == (1, 0)
    assert (len(decoder.opened), readers.leased, readers.idle) == (1, 0, 1)


def test_requests_at_once_share_a_reader() -> None:
    """Requests for the same image at the same time have one reader between them, and the last one gives it back."""
    readers, decoder = opened(5)
    with ExitStack() as stack:
        leased = [stack.enter_context(readers.lease(BLOBS[0])) for _ in range(3)]
        assert len({id(image.reader) for image in leased}) == 1
        assert (readers.leased, readers.idle) == (1, 0)
    assert (len(decoder.opened), readers.leased, readers.idle) == (1, 0, 1)


def test_an_image_is_opened_once_however_many_wait() -> None:
    """While one request opens an image that is slow to open, others wait for it and open nothing themselves."""

    class Slow(GradientDecoder):
        def open(self, blob: Blob) -> GradientReader:
            gevent.sleep(0.01)
            return super().open(blob)

    decoder = Slow()
    readers = ReaderCache(DecoderChoice([decoder]), 2)
    widths = [gevent.spawn(lambda: readers.info(BLOBS[0]).size.width) for _ in range(5)]
    assert [each.get() for each in widths] == [10] * 5
    assert len(decoder.opened) == 1


def test_a_failed_opening_leaves_it_to_the_next() -> None:
    """If the request that opens an image fails or is cancelled, the next one that waits opens it."""

    class Flaky(GradientDecoder):
        tries = 0

        def open(self, blob: Blob) -> GradientReader:
            self.tries += 1
            first = self.tries == 1
            gevent.sleep(0.01)
            if first:
                raise SourceError("at first")
            return super().open(blob)

    readers = ReaderCache(DecoderChoice([Flaky()]), 2)
    requests = [gevent.spawn(readers.info, BLOBS[0]) for _ in range(2)]
    gevent.joinall(requests)
    assert [type(each.exception) for each in requests] == [SourceError, type(None)]


def test_a_failed_reader_is_replaced_and_closed_by_the_last() -> None:
    """After a failure later requests get a fresh reader; the old one is closed when nobody uses it any more."""
    readers, decoder = opened(2)
    with readers.lease(BLOBS[0]) as neighbour:
        with pytest.raises(RuntimeError), readers.lease(BLOBS[0]):
            raise RuntimeError
        assert not decoder.opened[0].closed
        with readers.lease(BLOBS[0]) as fresh:
            assert fresh.reader is not neighbour.reader
            assert readers.leased == 2
    assert [reader.closed for reader in decoder.opened] == [True, False]
    assert (readers.leased, readers.idle) == (0, 1)


@pytest.mark.parametrize("end", [ClientGone, gevent.GreenletExit])
def test_a_client_that_leaves_costs_no_reader(end: type[BaseException]) -> None:
    """A reader whose request ended because its client disconnected is as good as before, and kept."""
    readers, decoder = opened(2)
    with pytest.raises(end), readers.lease(BLOBS[0]):
        raise end
    assert (readers.leased, readers.idle, decoder.opened[0].closed) == (0, 1, False)


def test_least_recently_used_goes_first() -> None:
    """Beyond what is kept, the reader that was idle the longest is closed."""
    readers, decoder = opened(2)
    for number in (0, 1, 0, 2):
        with readers.lease(BLOBS[number]):
            pass
    assert {reader.info.size.width: reader.closed for reader in decoder.opened} == {10: False, 11: True, 12: False}


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_reader_of_a_failed_request_is_closed(error: type[BaseException]) -> None:
    """Whatever a request failed with, its reader is not used again."""
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
    readers = ReaderCache(DecoderChoice([decoder]), 2)
    with pytest.raises(PluginFailure), readers.lease(BLOBS[0]):
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


class Failing(GradientDecoder):
    """Fails at every blob, and counts them."""

    def __init__(self, error: SidecarError) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    def open(self, blob: Blob) -> GradientReader:
        """Raise the error."""
        del blob
        self.asked += 1
        raise self.error


@pytest.mark.parametrize("kind", [Malformed, Unsupported, DecodeError])
def test_what_is_wrong_with_an_image_is_remembered(kind: type[SidecarError]) -> None:
    """Requests for an image that could not be opened get the same answer, and the decoder is not asked again."""
    decoder = Failing(kind("8 MB of nothing"))
    readers = ReaderCache(DecoderChoice([decoder]), 2)
    for _ in range(3):
        with pytest.raises(kind, match="8 MB of nothing"):
            readers.info(BLOBS[0])
        with pytest.raises(kind), readers.lease(BLOBS[0]):
            pass
    assert decoder.asked == 1
    with pytest.raises(kind):
        readers.info(BLOBS[1])
    assert decoder.asked == 2


def test_failures_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds the decoder is asked again."""
    now = [100.0]
    monkeypatch.setattr("sidecar.render.reader_cache.monotonic", lambda: now[0])
    decoder = Failing(DecodeError("just now"))
    readers = ReaderCache(DecoderChoice([decoder]), 2)
    for later, asked in ((0, 1), (5, 1), (15, 2)):
        now[0] = 100.0 + later
        with pytest.raises(DecodeError):
            readers.info(BLOBS[0])
        assert decoder.asked == asked


def test_what_the_storage_lacks_is_not_remembered() -> None:
    """Errors that do not depend on the content are tried again at once."""
    decoder = Failing(SourceError("a broken line"))
    readers = ReaderCache(DecoderChoice([decoder]), 2)
    for _ in range(2):
        with pytest.raises(SourceError):
            readers.info(BLOBS[0])
    assert decoder.asked == 2


def test_idle_readers_are_bounded_in_bytes() -> None:
    """Readers say what they hold; those idle the longest are closed if all hold more than may be kept."""

    class Heavy(GradientReader):
        held_bytes = 1000

    class HeavyDecoder(GradientDecoder):
        def open(self, blob: Blob) -> GradientReader:
            reader = super().open(blob)
            self.opened[-1] = Heavy(reader.info, b"")
            return self.opened[-1]

    decoder = HeavyDecoder()
    readers = ReaderCache(DecoderChoice([decoder]), 10, limit=2 * 2500)
    with readers.lease(BLOBS[3]):
        for number in (0, 1, 2):
            with readers.lease(BLOBS[number]):
                pass
        assert [reader.closed for reader in decoder.opened] == [False, True, False, False]
        assert readers.idle == 2
    assert [reader.closed for reader in decoder.opened] == [True, True, False, False]
    assert readers.nbytes <= 2 * 2500
    readers.close()
    assert all(reader.closed for reader in decoder.opened)


def test_readers_in_use_are_not_counted_as_kept() -> None:
    """What a reader holds counts from the end of its last use to the next one, or until it is closed."""
    readers, _ = opened(2)
    readers.info(BLOBS[0])
    kept = readers.nbytes
    for _ in range(2):
        with readers.lease(BLOBS[0]), readers.lease(BLOBS[0]):
            assert readers.nbytes < kept
        assert readers.nbytes == kept
    with readers.lease(BLOBS[0]):
        in_use = readers.nbytes
    readers.close()
    assert readers.nbytes == in_use


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
    """Whatever requests come and go, no reader is closed while in use, opened twice, or forgotten while open."""
    readers, decoder = opened(keep)
    under_way: list[tuple[ExitStack, Any]] = []
    for number, ends in steps:
        if ends and under_way:
            under_way.pop(number % len(under_way))[0].close()
        else:
            stack = ExitStack()
            reader: Any = stack.enter_context(readers.lease(BLOBS[number])).reader
            under_way.append((stack, reader))
        leased = [reader for _, reader in under_way]
        assert len({id(reader) for reader in leased}) == readers.leased
        assert not any(reader.closed for reader in leased)
        assert sum(not reader.closed for reader in decoder.opened) == readers.leased + readers.idle
        assert readers.idle <= keep
    for stack, _ in under_way:
        stack.close()
    readers.close()
    assert all(reader.closed for reader in decoder.opened)
