"""Finding and reading remote objects through a fake transport."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import gevent
import pytest
from gevent.event import Event

from sidecar.plugin import Blob, ByteRange, RemoteSettings, SourceChanged, SourceError
from sidecar.plugin.remote import Opening, RemoteObjects, Transient, Version

BLOCK = 4096
_CONTENT = random.Random(1).randbytes(40 * BLOCK + 100)  # noqa: S311  # only content


@dataclass
class FakeTransport:
    """One object, what was asked for, and what goes wrong next."""

    content: bytes = _CONTENT
    etag: str = '"1"'
    present: bool = True
    opened: list[Version | None] = field(default_factory=list)
    fetched: list[tuple[int, int]] = field(default_factory=list)
    """Blocks: first, and the one after the last."""
    break_after: list[int] = field(default_factory=list)
    """For each of the next fetches: how many blocks come before it fails."""
    gate: Event | None = None
    """Fetches and openings wait here."""

    def open(self, key: str, head: int, known: Version | None) -> Opening | None:
        """Find the object."""
        del key
        self.opened.append(known)
        self._wait()
        version = Version(len(self.content), self.etag, "Tue, 14 Nov 2023 22:13:20 GMT")
        if not self.present:
            return None
        return Opening(version) if version == known else Opening(version, self.content[:head])

    def fetch(self, key: str, version: Version, wanted: ByteRange, step: int) -> Generator[bytes, None, None]:
        """The blocks of a range."""
        del key
        self.fetched.append((wanted.start // step, -(-wanted.stop // step)))
        self._wait()
        if version.etag != self.etag:
            raise SourceChanged("another one")
        left = self.break_after.pop(0) if self.break_after else None
        for start in range(wanted.start, wanted.stop, step):
            if left == 0:
                raise Transient(SourceError("broken off"))
            left = None if left is None else left - 1
            yield self.content[start : min(start + step, wanted.stop)]

    def close(self) -> None:
        """Nothing to close."""

    def _wait(self) -> None:
        if self.gate:
            self.gate.wait()


def objects(transport: FakeTransport, freshness: float = 60, cache: int = 2**20, attempts: int = 3) -> RemoteObjects:
    """Blocks of 4 KiB, gaps of up to two blocks, requests of up to eight."""
    settings = RemoteSettings(
        block_bytes=BLOCK,
        max_gap_bytes=2 * BLOCK,
        max_request_bytes=8 * BLOCK,
        cache_bytes=cache,
        freshness=freshness,
        attempts=attempts,
    )
    return RemoteObjects("remote", transport, settings)


def of_blocks(*numbers: int) -> list[ByteRange]:
    """A few bytes in each of these blocks."""
    return [ByteRange(number * BLOCK + 10, number * BLOCK + 20) for number in numbers]


def read(found: RemoteObjects, ranges: list[ByteRange]) -> None:
    """Find, read, compare."""
    blob = found.find("a.jp2", "a.jp2")
    assert blob is not None
    assert [bytes(buffer) for buffer in blob.read(ranges)] == [_CONTENT[start:stop] for start, stop in ranges]


def fail(blob: Blob) -> None:
    """Read, and get an error."""
    with pytest.raises(SourceError):
        blob.read(of_blocks(9))


def test_finding_brings_the_first_block() -> None:
    """What lies in it needs no further request."""
    transport = FakeTransport()
    read(objects(transport), [ByteRange(0, 100), ByteRange(1000, BLOCK)])
    assert (len(transport.opened), transport.fetched) == (1, [])


def test_near_blocks_are_joined() -> None:
    """Gaps of two blocks are fetched along, wider ones not; long runs are parted."""
    transport = FakeTransport()
    read(objects(transport), [*of_blocks(2, 3, 6, 10), ByteRange(20 * BLOCK, 34 * BLOCK)])
    assert sorted(transport.fetched) == [(2, 7), (10, 11), (20, 28), (28, 34)]


def test_kept_blocks_are_not_fetched_again() -> None:
    """Nor those that came along in a gap; only what is new is."""
    transport = FakeTransport()
    found = objects(transport)
    read(found, of_blocks(2, 5))
    read(found, of_blocks(3, 4, 5, 6))
    assert transport.fetched == [(2, 6), (6, 7)]


def test_more_than_the_cache_holds() -> None:
    """A read is whole even if the cache keeps almost nothing of it."""
    transport = FakeTransport()
    found = objects(transport, cache=BLOCK)
    read(found, [ByteRange(0, len(_CONTENT))])
    read(found, [ByteRange(100, len(_CONTENT))])


def test_one_fetch_for_many_readers() -> None:
    """Readers of the same and of overlapping blocks share what is under way; each block is asked for once."""
    transport = FakeTransport(gate=Event())
    found = objects(transport)
    wanted = [of_blocks(2, 3), of_blocks(3), of_blocks(2, 3, 4), of_blocks(3, 4)] * 5
    jobs = [gevent.spawn(read, found, ranges) for ranges in wanted]
    gevent.sleep(0.01)
    assert len(transport.opened) == 1
    assert transport.gate is not None
    transport.gate.set()
    gevent.joinall(jobs, raise_error=True, timeout=60)
    assert all(job.successful() for job in jobs)
    assert len(transport.opened) == 1
    assert sorted(transport.fetched) == [(2, 4), (4, 5)]


def test_a_failing_fetch_is_continued_where_it_broke() -> None:
    """What had come is kept; a further attempt asks for the rest."""
    transport = FakeTransport(break_after=[3, 0, 1])
    read(objects(transport, attempts=4), [ByteRange(10 * BLOCK, 16 * BLOCK)])
    assert transport.fetched == [(10, 16), (13, 16), (13, 16), (14, 16)]


def test_failure_reaches_every_reader_and_is_not_kept() -> None:
    """All that wait get the error; the next reader tries anew and succeeds."""
    transport = FakeTransport(break_after=[0, 0])
    found = objects(transport, attempts=2)
    blob = found.find("a.jp2", "a.jp2")
    assert blob is not None
    jobs = [gevent.spawn(fail, blob) for _ in range(3)]
    gevent.joinall(jobs, raise_error=True, timeout=60)
    assert all(job.successful() for job in jobs)
    read(found, of_blocks(9))
    assert len(transport.fetched) == 3


def test_a_cancelled_reader_delays_nobody() -> None:
    """The reader that began a fetch is killed, another by its own deadline; the third gets its bytes."""
    transport = FakeTransport()
    found = objects(transport)
    blob = found.find("a.jp2", "a.jp2")
    assert blob is not None
    transport.gate = Event()
    first = gevent.spawn(blob.read, of_blocks(9))
    gevent.sleep(0)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        blob.read(of_blocks(9))
    third = gevent.spawn(read, found, of_blocks(9))
    gevent.sleep(0)
    first.kill()
    transport.gate.set()
    third.get(timeout=60)
    assert transport.fetched == [(9, 10)]


def test_found_is_remembered_while_it_is_fresh() -> None:
    """Within that time nobody asks again; after it, only whether it is still the same."""
    fresh, stale = FakeTransport(), FakeTransport()
    remembered, forgetful = objects(fresh), objects(stale, freshness=0)
    for _ in range(3):
        read(remembered, of_blocks(0))
        read(forgetful, of_blocks(0))
    assert fresh.opened == [None]
    known = Version(len(_CONTENT), '"1"', "Tue, 14 Nov 2023 22:13:20 GMT")
    assert stale.opened == [None, known, known]
    assert stale.fetched == []


def test_changed_objects_are_found_anew() -> None:
    """A read reports that the object changed, and the next request finds the new one, fresh or not."""
    transport = FakeTransport()
    found = objects(transport)
    before = found.find("a.jp2", "a.jp2")
    assert before is not None
    transport.etag = '"2"'
    with pytest.raises(SourceChanged):
        before.read(of_blocks(9))
    after = found.find("a.jp2", "a.jp2")
    assert after is not None
    assert after.etag != before.etag
    assert bytes(after.read(of_blocks(9))[0]) == _CONTENT[9 * BLOCK + 10 : 9 * BLOCK + 20]


def test_blocks_of_another_version_are_not_returned() -> None:
    """Kept blocks belong to one version."""
    transport = FakeTransport()
    found = objects(transport, freshness=0)
    read(found, of_blocks(0, 9))
    transport.etag, transport.content = '"2"', bytes(len(_CONTENT))
    blob = found.find("a.jp2", "a.jp2")
    assert blob is not None
    assert [bytes(buffer) for buffer in blob.read(of_blocks(0, 9))] == [bytes(10), bytes(10)]


def test_absence_is_not_remembered() -> None:
    """An object that appears is found at once; one that goes is gone after its time."""
    transport = FakeTransport(present=False)
    found = objects(transport, freshness=0)
    assert found.find("a.jp2", "a.jp2") is None
    transport.present = True
    assert found.find("a.jp2", "a.jp2") is not None
    transport.present = False
    assert found.find("a.jp2", "a.jp2") is None


@pytest.mark.parametrize("wanted", [ByteRange(-1, 5), ByteRange(9, 5), ByteRange(0, len(_CONTENT) + 1)])
def test_ranges_outside(wanted: ByteRange) -> None:
    """An error, and nothing is asked for."""
    transport = FakeTransport()
    blob = objects(transport).find("a.jp2", "a.jp2")
    assert blob is not None
    with pytest.raises(SourceError, match="outside"):
        blob.read([ByteRange(0, 1), wanted])
    assert transport.fetched == []


def test_close_wakes_readers() -> None:
    """Who still waits when the worker stops gets an error."""
    transport = FakeTransport()
    found = objects(transport)
    blob = found.find("a.jp2", "a.jp2")
    assert blob is not None
    transport.gate = Event()
    reader = gevent.spawn(fail, blob)
    gevent.sleep(0)
    found.close()
    reader.get(timeout=60)


@pytest.mark.parametrize(
    "modified", ["", "yesterday", "Tue, 99 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2999999999999 22:13:20 GMT"]
)
def test_times_that_are_none(modified: str) -> None:
    """What cannot be read as a time is no time."""

    class Timeless(FakeTransport):
        def open(self, key: str, head: int, known: Version | None) -> Opening | None:
            del key, head, known
            return Opening(Version(3, '"1"', modified), b"abc")

    blob = objects(Timeless()).find("a.jp2", "a.jp2")
    assert blob is not None
    assert blob.last_modified is None


def test_a_time_without_a_zone() -> None:
    """`-0000` is UTC (RFC 5322 §3.3): times are aware."""
    blob = objects(_Fixed(Version(3, '"1"', "Tue, 14 Nov 2023 22:13:20 -0000"))).find("a.jp2", "a.jp2")
    assert blob is not None
    assert blob.last_modified == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "one, other",
    [
        (Version(5, '"a"'), Version(5, '"b"')),
        (Version(5, 'W/"a"', "Mon"), Version(5, 'W/"a"', "Tue")),
        (Version(5, "", "Mon"), Version(6, "", "Mon")),
    ],
)
def test_etags_distinguish_versions(one: Version, other: Version) -> None:
    """A weak entity tag alone does not make two versions the same (RFC 9110 §8.8.1)."""
    found = [objects(_Fixed(version)).find("a.jp2", "a.jp2") for version in (one, other)]
    assert len({blob.etag for blob in found if blob}) == 2


class _Fixed(FakeTransport):
    def __init__(self, version: Version) -> None:
        super().__init__()
        self._version = version

    def open(self, key: str, head: int, known: Version | None) -> Opening | None:
        """Always this version."""
        del key, head, known
        return Opening(self._version)
