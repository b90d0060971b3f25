"""Tiles of files at an object store that nobody on this machine has seen: rounds, pixels, and what a store may say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import sidecar_s3
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.format.main_header import parse_main_header
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.index.kept_index import fill, to_arrays
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.store.back_end import BackEnd
from sidecar_jp2.store.kept_entries import KeptEntries, key_of
from sidecar_jp2.store.packing import KINDS, Arrays, Corrupt, Packing
from sidecar_jp2.store.s3_store import S3Store
from sidecar_jp2.store.shared_store import SharedStore
from sidecar_jp2.testing import box, colr, ihdr, jp2, picture
from sidecar_s3.settings import S3Settings

from sidecar.plugin import Blob, Buffer, ByteRange, Config, DecodeError, Pixels, Rect, Source, run_inline
from sidecar.testing.object_store import ObjectStore, Reply, Request
from sidecar.testing.reading import read

OPENJPEG = OpenJpeg(bind())
SIZE = (1500, 1100)
UNTILED = picture(SIZE, "-p", "RPCL", "-c", "[128,128],[64,64]", "-PLT", "-TP", "R", "-n", "5")
TILED = picture(SIZE, "-p", "RLCP", "-t", "256,256", "-c", "[128,128]", "-PLT", "-n", "4")
PLAIN = picture(SIZE, "-t", "512,512", "-n", "4")
HEADED = jp2(TILED, ihdr(3, SIZE), colr(16), box(b"xml ", bytes(200_000)))
"""Its main header does not come along with the first block."""
FILES = {"untiled.jp2": UNTILED, "tiled.j2k": TILED, "plain.j2k": PLAIN, "headed.jp2": HEADED}
REGION = Rect(512, 512, 256, 256)


@dataclass
class Counted:
    """A blob, and the reads of it that had to ask the source."""

    blob: Blob
    store: ObjectStore
    rounds: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.blob, name)

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """As the blob's."""
        before = len(self.store.requests)
        data = self.blob.read(ranges)
        self.rounds += len(self.store.requests) > before
        return data


@dataclass(frozen=True)
class Machine:
    """A sidecar that has just started: nothing is known to it."""

    source: Source
    decoder: Jp2Decoder
    store: ObjectStore

    def tile(self, name: str) -> tuple[Pixels, int]:
        """Return the pixels of a tile, and the rounds that they took: of requests that could run side by side."""
        asked = len([each for each in self.store.requests if each.key.startswith("kept/")])
        found = self.source.find(name)
        assert found is not None
        blob = Counted(found, self.store)
        pixels = read(self.decoder.open(blob), blob, 0, REGION)
        kept = len([each for each in self.store.requests if each.key.startswith("kept/")]) - asked
        return pixels, 1 + blob.rounds + kept

    def index(self, name: str) -> None:
        """Learn all of a file, as `sidecar index` does."""
        blob = self.source.find(name)
        assert blob is not None
        self.decoder.index(blob)
        assert self.decoder.is_indexed(blob)


@pytest.fixture(scope="module")
def far() -> Iterator[ObjectStore]:
    """An object store with some files, and room for indexes."""
    with ObjectStore({f"images/{name}": data for name, data in FILES.items()} | {"kept/": b""}) as store:
        yield store


def settings_of(store: ObjectStore) -> S3Settings:
    return S3Settings(bucket="images", endpoint=store.url, anonymous=True, attempts=1)


@contextmanager
def machine(store: ObjectStore, back_end: BackEnd | None = None, secret: str = "") -> Iterator[Machine]:
    """Start a sidecar that shares its indexes through a store."""
    (source,) = sidecar_s3.register_sources(Config.of(settings_of(store)))
    shared = SharedStore(back_end) if back_end else None
    kept = KeptImages(KeptEntries(run_inline, Packing(secret), shared=shared))
    indexes = IndexCache(run_inline, 1 << 24, kept)
    decoder = Jp2Decoder(OPENJPEG, extractors=partial(IndexedExtractor, indexes), kept=kept)
    yield Machine(source, decoder, store)
    decoder.close()
    source.close()  # type: ignore[attr-defined]  # sources of S3 have it


def in_s3(store: ObjectStore) -> S3Store:
    return S3Store(settings_of(store), "s3://kept/indexes", 30)


@pytest.mark.parametrize("name", FILES)
def test_a_cold_tile_takes_three_rounds(far: ObjectStore, name: str) -> None:
    """Finding the file, its entry, the packets of the tile: three rounds, and the pixels of a machine that walked."""
    with machine(far) as alone:
        expected, _ = alone.tile(name)
    with machine(far, in_s3(far)) as first:
        first.index(name)
    with machine(far, in_s3(far)) as second:
        pixels, rounds = second.tile(name)
    assert rounds <= 3
    assert np.array_equal(pixels, expected)


def test_what_one_machine_learns_from_requests(far: ObjectStore) -> None:
    """Nobody has to index ahead: the tile that one machine has shown takes another one three rounds."""
    far.objects.pop(f"kept/indexes/{key_of(_etag(far, 'untiled.jp2'))}", None)
    with machine(far, in_s3(far)) as first:
        expected, walked = first.tile("untiled.jp2")
    with machine(far, in_s3(far)) as second:
        pixels, rounds = second.tile("untiled.jp2")
    assert rounds <= 3 < walked
    assert np.array_equal(pixels, expected)


def _etag(store: ObjectStore, name: str) -> str:
    with machine(store) as any_machine:
        blob = any_machine.source.find(name)
    assert blob is not None
    return blob.etag


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_store_that_fails(far: ObjectStore, status: int) -> None:
    """Tiles are as without a store."""
    with machine(far) as alone:
        expected, _ = alone.tile("tiled.j2k")

    def fail(request: Request, reply: Reply) -> Reply:
        return Reply(status) if request.key.startswith("kept/") else reply

    far.mischief = fail
    try:
        with machine(far, in_s3(far)) as other:
            assert np.array_equal(other.tile("tiled.j2k")[0], expected)
    finally:
        far.mischief = lambda _, reply: reply


def test_entries_that_others_wrote(far: ObjectStore) -> None:
    """With a secret, an entry that somebody else has written, with lengths that lead astray, is not believed."""
    name = "untiled.jp2"
    with machine(far) as alone:
        expected, _ = alone.tile(name)
    with machine(far, in_s3(far)) as stranger:
        stranger.index(name)
    theirs, packing = key_of(_etag(far, name)), Packing("our secret")
    key = key_of(_etag(far, name), packing.tag)
    far.put(f"kept/indexes/{key}", far.objects[f"kept/indexes/{theirs}"])
    with machine(far, in_s3(far), "our secret") as ours:
        assert np.array_equal(ours.tile(name)[0], expected)
    written = packing.unpack(key, far.objects[f"kept/indexes/{key}"].body[:])
    assert len(written["lengths"])


def test_another_secret(far: ObjectStore) -> None:
    """What is kept with one secret does not count as known with another, so that a new one begins the store anew."""
    with machine(far, in_s3(far), "the old one") as before:
        before.index("tiled.j2k")
    with machine(far, in_s3(far), "the new one") as after:
        blob = after.source.find("tiled.j2k")
        assert blob is not None
        assert not after.decoder.is_indexed(blob)
        after.index("tiled.j2k")


def changed(arrays: Arrays, data: st.DataObject) -> Arrays:
    """Change some numbers of an entry in a way that a seal would not show."""
    found: dict[str, NDArray[Any]] = {name: values.copy() for name, values in arrays.items()}
    for _ in range(data.draw(st.integers(1, 3))):
        values = found[data.draw(st.sampled_from([name for name in KINDS if len(found[name])]))]
        at, kind = data.draw(st.integers(0, len(values) - 1)), values.dtype
        if kind.kind == "f":
            values[at] = data.draw(st.floats(width=64))
        else:
            least, most = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
            near = int(values[at]) + data.draw(st.integers(-2, 2))
            number = near if data.draw(st.booleans()) else data.draw(st.integers(least, most))
            values[at] = min(max(number, least), most)
    return found


def index_of(content: bytes) -> PacketIndex:
    header = parse_main_header(content)
    return PacketIndex(header, len(content), run_inline)


def learned(content: bytes) -> Arrays:
    """Return the entry of a file of which all is known."""
    index = index_of(content)
    index.learn(Whole(content))
    arrays, extent = to_arrays(index)
    assert extent.complete
    return arrays


@dataclass(frozen=True)
class Whole:
    """A far blob in memory."""

    content: bytes
    name: str = "a.j2k"
    etag: str = "one"
    path: None = None
    last_modified: None = None

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        assert all(0 <= start <= stop <= self.size for start, stop in ranges)
        return [self.content[start:stop] for start, stop in ranges]


SMALL = (
    picture((300, 200), "-p", "RPCL", "-c", "[64,64],[32,32]", "-PLT", "-TP", "R", "-n", "3"),
    picture((300, 200), "-p", "RLCP", "-t", "128,128", "-c", "[64,64]", "-PLT", "-n", "3"),
    picture((300, 200), "-t", "128,128", "-n", "3"),
)
ENTRIES = [learned(content) for content in SMALL]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(range(len(SMALL))), st.data())
def test_entries_that_lie(number: int, data: st.DataObject) -> None:
    """Whatever numbers an entry has, nothing crashes and no byte outside the file is asked for."""
    blob = Whole(SMALL[number])
    index = index_of(blob.content)
    try:
        fill(index, changed(ENTRIES[number], data))
    except Corrupt:
        assert not index.tile_parts.tiles
    indexes = IndexCache(run_inline, 1 << 24)
    reader = Jp2Decoder(OPENJPEG, extractors=partial(IndexedExtractor, indexes)).open(blob)
    indexes._indexes[f"one/0/{len(blob.content)}"] = index
    with suppress(DecodeError):
        assert read(reader, blob, 0, Rect(100, 100, 60, 60)).shape == (60, 60, 3)
