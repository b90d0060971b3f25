"""Ranges over real connections to a store whose responses are wrong in every way there is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

import gevent
import pytest

from sidecar.plugin import Blob, ByteRange, RemoteSettings, SourceChanged, SourceError, SourceTimeout
from sidecar.plugin.remote import RemoteObjects, Transient
from sidecar.remote.http_client import Client, Response
from sidecar.remote.http_ranges import RangedTransport
from sidecar.testing.object_store import Content, Mischief, ObjectStore, Reply, Request

BLOCK = 4096
_CONTENT = random.Random(2).randbytes(30 * BLOCK + 100)  # noqa: S311  # only content
_SETTINGS = RemoteSettings(
    block_bytes=BLOCK,
    max_gap_bytes=0,
    max_request_bytes=8 * BLOCK,
    attempts=2,
    timeout=20,
    stall_timeout=5,
    connect_timeout=5,
    freshness=0,
)


class Plain:
    """An HttpOrigin without anything of its own."""

    def __init__(self, store: ObjectStore, settings: RemoteSettings) -> None:
        self._url = store.url
        self._client = Client(settings)
        self.close = self._client.close

    def get(self, key: str, headers: Mapping[str, str]) -> AbstractContextManager[Response]:
        """Ask."""
        return self._client.get(f"{self._url}/{key}", headers)

    def is_absent(self, status: int, code: str) -> bool:
        """Report NoSuchKey, as S3 sends it."""
        return (status, code) == (404, "NoSuchKey")


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    """A bucket with one object."""
    with ObjectStore({"bucket/a.jp2": _CONTENT}) as running:
        yield running


def objects(store: ObjectStore, settings: RemoteSettings = _SETTINGS) -> RemoteObjects:
    """The store's objects."""
    return RemoteObjects("remote", RangedTransport("remote", Plain(store, settings)), settings)


def found_at_last(impatient: RemoteObjects) -> Blob:
    """Find the object for somebody of little patience, whom a store in a busy machine may answer only in a while."""
    for _ in range(100):
        with suppress(SourceTimeout):
            blob = impatient.find("bucket/a.jp2", "a.jp2")
            assert blob is not None
            return blob
    raise AssertionError("no answer in any of a hundred attempts")


def changed(**headers: str) -> Mischief:
    """Answers with other headers."""
    return lambda _request, reply: replace(reply, headers={**reply.headers, **headers})


def without(*names: str) -> Mischief:
    """Answers without some headers."""
    return lambda _request, reply: replace(reply, headers={k: v for k, v in reply.headers.items() if k not in names})


def ignoring_range(request: Request, reply: Reply) -> Reply:
    """The whole body, whatever was asked for."""
    del request
    return replace(without("Content-Range")(None, reply), status=200, body=_CONTENT)  # type: ignore[arg-type]  # unused


def always(reply: Reply) -> Mischief:
    """The same answer to all."""
    return lambda _request, _reply: reply


def once(mischief: Mischief) -> Mischief:
    """Only the next answer is wrong."""
    left = [mischief]
    return lambda request, reply: left.pop()(request, reply) if left else reply


_ETAG = Content(_CONTENT).etag
_WRONG_RANGES: Mapping[str, Mischief] = {
    "ignores-range": ignoring_range,
    "another-range": changed(**{"Content-Range": f"bytes 0-{BLOCK - 1}/{len(_CONTENT)}"}),
    "no-content-range": without("Content-Range"),
    "nonsense": changed(**{"Content-Range": "bytes 1-2"}),
    "other-unit": changed(**{"Content-Range": "pages 1-2/3"}),
    "digits-of-other-scripts": changed(**{"Content-Range": "bytes \xb2-\xb3/\xb9"}),
    "unsatisfied-206": changed(**{"Content-Range": f"bytes */{len(_CONTENT)}"}),
    "length-lies": changed(**{"Content-Length": "5"}),
    "encoded": changed(**{"Content-Encoding": "gzip"}),
    "multipart": lambda request, reply: replace(
        without("Content-Range")(request, reply), headers={"Content-Type": "multipart/byteranges; boundary=x"}
    ),
    "forbidden": always(Reply(403)),
    "unauthorized": always(Reply(401)),
    "method": always(Reply(405)),
    "redirect": always(Reply(302, {"Location": "http://127.0.0.1/"})),
    "not-implemented": always(Reply(501)),
    "down": always(Reply(503)),
    "broken": always(Reply(500)),
    "short": lambda _request, reply: replace(reply, cut=len(reply.body) // 2),
    "empty": lambda _request, reply: replace(reply, cut=0),
}


@pytest.mark.parametrize("wrong", _WRONG_RANGES)
def test_wrong_answers_to_a_range(store: ObjectStore, wrong: str) -> None:
    """An error, never other bytes; no connection stays in use; and the next read is right."""
    blob = objects(store).find("bucket/a.jp2", "a.jp2")
    assert blob is not None
    store.mischief = _WRONG_RANGES[wrong]
    with pytest.raises(SourceError):
        blob.read([ByteRange(5 * BLOCK, 7 * BLOCK)])
    store.mischief = lambda _request, reply: reply
    assert bytes(blob.read([ByteRange(5 * BLOCK, 7 * BLOCK)])[0]) == _CONTENT[5 * BLOCK : 7 * BLOCK]


@pytest.mark.parametrize("wrong", [wrong for wrong in _WRONG_RANGES if wrong != "another-range"])
def test_wrong_answers_to_the_first_request(store: ObjectStore, wrong: str) -> None:
    """However the server fails, an error is raised; the object never counts as absent."""
    found = objects(store)
    store.mischief = _WRONG_RANGES[wrong]
    with pytest.raises(SourceError):
        found.find("bucket/a.jp2", "a.jp2")
    store.mischief = lambda _request, reply: reply
    assert found.find("bucket/a.jp2", "a.jp2") is not None


def test_a_large_body_is_not_fetched_whole(store: ObjectStore) -> None:
    """A server that ignores Range is left after its headers: the connection is closed, not read to its end."""
    store.put("bucket/a.jp2", bytes(64 * 2**20))
    sent = []

    def whole(_request: Request, reply: Reply) -> Reply:
        sent.append(reply)
        return replace(ignoring_range(_request, reply), body=store.objects["bucket/a.jp2"].body[:])

    store.mischief = whole
    with pytest.raises(SourceError, match="ignores Range"):
        objects(store).find("bucket/a.jp2", "a.jp2")
    assert len(sent) == 1
    _settle(lambda: not store.connections)


def test_a_small_body_may_come_whole() -> None:
    """A server without ranges serves objects of one block."""
    with ObjectStore({"bucket/a.jp2": b"small"}) as store:
        store.mischief = lambda _request, reply: replace(
            without("Content-Range", "Accept-Ranges")(_request, reply), status=200, body=b"small"
        )
        blob = objects(store, _SETTINGS.model_copy(update={"cache_bytes": 0})).find("bucket/a.jp2", "a.jp2")
        assert blob is not None
        assert bytes(blob.read([ByteRange(1, 3)])[0]) == b"ma"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again(store: ObjectStore, status: int) -> None:
    """One failure is not seen by the reader."""
    store.mischief = once(always(Reply(status)))
    blob = objects(store).find("bucket/a.jp2", "a.jp2")
    assert blob is not None
    store.mischief = once(always(Reply(status, {"Retry-After": "0"})))
    assert bytes(blob.read([ByteRange(0, len(_CONTENT))])[0]) == _CONTENT


@pytest.mark.parametrize("after", ["900", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_retry_after(store: ObjectStore, after: str) -> None:
    """A pause longer than the time left ends the attempts at once, in seconds or as a date."""
    store.mischief = always(Reply(503, {"Retry-After": after}))
    with pytest.raises(SourceError, match="503"):
        objects(store).find("bucket/a.jp2", "a.jp2")
    assert len(store.requests) == 1


@pytest.mark.parametrize("after", ["soon", "-5", "1.5", "9" * 5000, "Fri, 31 Dec 2999999999999 23:59:59 GMT"])
def test_retry_after_that_cannot_be_read(store: ObjectStore, after: str) -> None:
    """A value that is neither seconds nor a date is ignored: the request is made again."""
    store.mischief = once(always(Reply(503, {"Retry-After": after})))
    assert objects(store).find("bucket/a.jp2", "a.jp2") is not None
    assert len(store.requests) == 2


def test_a_broken_response_is_continued_where_it_broke(store: ObjectStore) -> None:
    """The whole blocks that had come are not fetched again."""
    blob = objects(store).find("bucket/a.jp2", "a.jp2")
    assert blob is not None
    store.mischief = once(lambda _request, reply: replace(reply, cut=2 * BLOCK + 10))
    assert bytes(blob.read([ByteRange(5 * BLOCK, 9 * BLOCK)])[0]) == _CONTENT[5 * BLOCK : 9 * BLOCK]
    asked = [request.headers["range"] for request in store.requests[1:]]
    assert asked == [f"bytes={start * BLOCK}-{9 * BLOCK - 1}" for start in (5, 7)]


@pytest.mark.parametrize("cut", [None, 0, BLOCK + 1])
def test_silence(store: ObjectStore, cut: int | None) -> None:
    """A server that sends nothing, before or within a response, is a timeout."""
    blob = found_at_last(objects(store, _SETTINGS.model_copy(update={"stall_timeout": 0.05, "attempts": 1})))
    store.mischief = lambda _request, reply: replace(reply, stall=0.5, cut=cut)
    with pytest.raises(SourceTimeout):
        blob.read([ByteRange(5 * BLOCK, 9 * BLOCK)])
    _settle(lambda: not store.connections)


def test_dripping(store: ObjectStore) -> None:
    """A server that never falls silent and never ends is a timeout too, and its connection is closed."""
    found = objects(store, _SETTINGS.model_copy(update={"timeout": 0.2}))
    blob = found_at_last(found)
    store.link.bandwidth = 200_000
    with pytest.raises(SourceTimeout):
        blob.read([ByteRange(BLOCK, len(_CONTENT))])
    found.close()
    _settle(lambda: not store.connections)


def test_nobody_there() -> None:
    """A refused connection is an error of the source."""
    with ObjectStore() as store:
        pass
    with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        objects(store).find("bucket/a.jp2", "a.jp2")


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put("bucket/a.jp2", _CONTENT[::-1]),
        lambda store: store.put("bucket/a.jp2", b"short"),
        lambda store: store.put("bucket/a.jp2", b""),
        lambda store: store.objects.pop("bucket/a.jp2"),
        lambda store: setattr(store, "mischief", changed(ETag='"other"')),
        lambda store: setattr(store, "mischief", changed(**{"Content-Range": f"bytes 20480-28671/{2**40}"})),
    ],
    ids=["content", "shorter", "empty", "gone", "tag", "size"],
)
def test_changed_between_two_ranges(store: ObjectStore, change: object) -> None:
    """Another content is never mixed with the first, even if the server ignores If-Match."""
    blob = objects(store).find("bucket/a.jp2", "a.jp2")
    assert blob is not None
    assert callable(change)
    change(store)
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(5 * BLOCK, 7 * BLOCK)])


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_strong_tag(store: ObjectStore, tag: str) -> None:
    """Time and size stand for the tag: bytes are returned while both stay, and not after."""
    weak = changed(ETag=tag) if tag else without("ETag")
    store.mischief = weak
    found = objects(store)
    blob = found.find("bucket/a.jp2", "a.jp2")
    assert blob is not None
    assert bytes(blob.read([ByteRange(5 * BLOCK, 7 * BLOCK)])[0]) == _CONTENT[5 * BLOCK : 7 * BLOCK]
    assert "if-match" not in store.requests[-1].headers
    store.put("bucket/a.jp2", Content(_CONTENT, 1_700_000_060.0))
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(9 * BLOCK, 10 * BLOCK)])
    again = found.find("bucket/a.jp2", "a.jp2")
    assert again is not None
    assert again.etag != blob.etag


def test_without_any_validator(store: ObjectStore) -> None:
    """An object without any sign of change is not served."""
    store.mischief = without("ETag", "Last-Modified")
    with pytest.raises(SourceError, match="neither"):
        objects(store).find("bucket/a.jp2", "a.jp2")


def test_asking_again_costs_no_bytes(store: ObjectStore) -> None:
    """What is still the same is 304 (RFC 9110 §15.4.5)."""
    found = objects(store)
    first, second = (found.find("bucket/a.jp2", "a.jp2") for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.etag == second.etag
    assert bytes(second.read([ByteRange(0, 10)])[0]) == _CONTENT[:10]
    assert [request.headers.get("if-none-match") for request in store.requests] == [None, _ETAG]


def test_connections_are_kept_and_bounded(store: ObjectStore) -> None:
    """Many reads at once share no more connections than set, one after the other the same one."""
    found = objects(store, _SETTINGS.model_copy(update={"concurrency": 3, "cache_bytes": 0}))
    store.link.latency = 0.005
    blob = found.find("bucket/a.jp2", "a.jp2")
    assert blob is not None
    blob.read([ByteRange(8 * BLOCK, 9 * BLOCK)])
    found.find("bucket/missing.jp2", "missing.jp2")
    assert len({request.peer for request in store.requests}) == 1
    blob.read([ByteRange(2 * number * BLOCK, (2 * number + 1) * BLOCK) for number in range(15)])
    assert len(store.requests) == 18
    assert len({request.peer for request in store.requests}) == 3
    found.close()
    _settle(lambda: not store.connections)


def test_a_killed_reader_leaves_no_connection_in_use(store: ObjectStore) -> None:
    """Its fetch goes on for others or ends at its own deadline; then the connection is free or closed."""
    blob = found_at_last(objects(store, _SETTINGS.model_copy(update={"timeout": 0.1})))
    store.mischief = lambda _request, reply: replace(reply, stall=1, cut=10)
    reader = gevent.spawn(blob.read, [ByteRange(5 * BLOCK, 6 * BLOCK)])
    gevent.sleep(0.02)
    reader.kill()
    _settle(lambda: not store.connections)


def test_the_transport_tries_once(store: ObjectStore) -> None:
    """Attempts are counted in one place only: the client makes none of its own."""
    store.mischief = always(Reply(503))
    with pytest.raises(Transient):
        RangedTransport("remote", Plain(store, _SETTINGS)).open("bucket/a.jp2", BLOCK, None)
    assert len(store.requests) == 1


def _settle(so: object) -> None:
    """Wait for what the store's threads see a moment later."""
    assert callable(so)
    with gevent.Timeout(60):
        while not so():
            gevent.sleep(0.01)
