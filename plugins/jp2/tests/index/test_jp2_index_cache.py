"""The cache of packet indexes: a memory budget, and a cache on disk that workers share and that may be damaged."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.extraction import Extraction
from sidecar_jp2.format.geometry import Area
from sidecar_jp2.format.main_header import parse_main_header
from sidecar_jp2.index.index_cache import ENTRY_BYTES, IndexCache
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.index.kept_index import fill, to_arrays
from sidecar_jp2.index.packet_index import PacketIndex
from sidecar_jp2.store.kept_entries import KeptEntries, key_of
from sidecar_jp2.store.packing import Packing
from sidecar_jp2.store.sqlite_store import SqliteStore
from sidecar_jp2.testing import picture

from sidecar.plugin import ByteRange, run_inline

AREA = Area(40, 40, 90, 90, 0, 1)
SMALLER = Area(0, 0, 200, 150, 1, 1)
DATA = picture((200, 150), "-p", "RPCL", "-t", "64,64", "-c", "[32,32]", "-PLT", "-n", "3")
HEADER = parse_main_header(DATA)


@dataclass
class Remote:
    """A blob that records the ranges it is asked for."""

    etag: str = "one"
    content: bytes = field(default=DATA, repr=False)
    name: str = "a.j2k"
    last_modified: None = None
    path: Path | None = None
    asked: list[ByteRange] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, ranges: list[ByteRange]) -> list[bytes]:
        self.asked += ranges
        return [self.content[part.start : part.stop] for part in ranges]


def extract(cache: IndexCache, blob: Remote, area: Area = AREA) -> Extraction:
    """Extract a small codestream as a reader does."""
    header = parse_main_header(blob.content)
    small = IndexedExtractor(cache, blob, header, blob.size).extract(area)  # type: ignore[arg-type]  # a list is a sequence
    assert small is not None
    return small


def cache_on(disk: SqliteStore) -> IndexCache:
    """The cache of a worker that keeps its indexes on a disk."""
    return IndexCache(run_inline, 1 << 20, KeptImages(KeptEntries(run_inline, Packing(), disk)))


@pytest.fixture
def disk(tmp_path: Path) -> SqliteStore:
    """Return an empty cache whose folder does not exist yet."""
    return SqliteStore(tmp_path / "cache" / "jp2", 1 << 20)


def test_an_index_is_learned_once_in_a_worker() -> None:
    """A second reader of the same content reads nothing of the index."""
    cache, again = IndexCache(run_inline, 1 << 20), Remote()
    first = extract(cache, Remote())
    assert extract(cache, again) == first
    assert not again.asked


def test_an_index_outlives_the_worker(disk: SqliteStore) -> None:
    """A cache that starts later, or in another process, loads the index from disk."""
    first = extract(cache_on(disk), Remote())
    blob = Remote()
    later = cache_on(disk)
    assert extract(later, blob) == first
    assert not blob.asked
    extract(later, blob, SMALLER)
    assert blob.asked
    third = Remote()
    assert extract(cache_on(disk), third, SMALLER) == extract(later, blob, SMALLER)
    assert not third.asked


def test_other_content_has_another_index(disk: SqliteStore) -> None:
    """An object whose etag has changed is indexed again."""
    cache = cache_on(disk)
    extract(cache, Remote())
    changed = Remote("two", picture((200, 150), "-p", "RLCP", "-t", "64,64", "-c", "[32,32]", "-PLT", "-n", "3"))
    small = extract(cache, changed)
    assert changed.asked
    assert small == extract(IndexCache(run_inline, 1 << 20), changed)


def test_memory_keeps_to_its_budget() -> None:
    """The least recently used indexes are dropped first, and the one in use never."""
    cache = IndexCache(run_inline, 3 * ENTRY_BYTES * 4)
    for number in range(40):
        extract(cache, Remote(f"etag {number}"))
        extract(cache, Remote("often"))
    assert cache.nbytes <= 3 * ENTRY_BYTES * 4
    blob = Remote("often")
    extract(cache, blob)
    assert not blob.asked
    old = Remote("etag 0")
    extract(cache, old)
    assert old.asked
    assert extract(IndexCache(run_inline, 0), Remote()) is not None


def test_an_index_beyond_the_budget_stays_until_another_is_used() -> None:
    """An index larger than the whole budget is kept alone, and the next one replaces it."""
    cache = IndexCache(run_inline, 0)
    extract(cache, Remote())
    again, other = Remote(), Remote("two")
    extract(cache, again)
    assert not again.asked
    extract(cache, other)
    extract(cache, again)
    assert again.asked


def test_the_disk_keeps_to_its_budget(tmp_path: Path) -> None:
    """The least recently used entries are dropped."""
    disk = SqliteStore(tmp_path, 1000)
    for number in range(20):
        disk.put(f"key {number}", bytes(99))
        assert disk.get("key 0") == bytes(99)
    with sqlite3.connect(tmp_path / "jp2-index.sqlite") as table:
        assert table.execute("SELECT SUM(LENGTH(data)) FROM entry").fetchone()[0] <= 1000
    table.close()
    assert disk.get("key 1") is None
    assert disk.get("key 19") == bytes(99)


@pytest.mark.parametrize(
    "damage", [b"", b"no entry", b"sjx\x04" + bytes(50), "half", "flipped", "old", "foreign", "of another file"]
)
def test_a_damaged_entry_is_dropped(disk: SqliteStore, damage: bytes | str) -> None:
    """Bytes that do not hold an index of this codestream count as missing and are replaced."""
    cache = cache_on(disk)
    expected = extract(cache, Remote())
    key = key_of("one")
    sound = disk.get(key)
    assert sound is not None
    disk.put(key, _damaged(sound, damage))
    blob = Remote()
    assert extract(cache_on(disk), blob) == expected
    assert blob.asked
    kept = disk.get(key)
    assert kept is not None
    fill(PacketIndex(HEADER, len(DATA), run_inline), Packing().unpack(key, kept))


def _damaged(sound: bytes, damage: bytes | str) -> bytes:
    if isinstance(damage, bytes):
        return damage
    if damage == "half":
        return sound[: len(sound) // 2]
    if damage == "flipped":
        middle = len(sound) // 3
        return sound[:middle] + bytes([sound[middle] ^ 255]) + sound[middle + 1 :]
    if damage == "old":
        return b"sjx\x03" + sound[4:]
    index = PacketIndex(HEADER, len(DATA) + (damage == "foreign"), run_inline)
    return Packing().pack(key_of("two" if damage == "of another file" else "one"), *to_arrays(index))


@pytest.mark.parametrize("old", [b"", b"TABLE entry"], ids=["no database", "a schema that is no text"])
def test_a_damaged_table_begins_anew(disk: SqliteStore, tmp_path: Path, old: bytes) -> None:
    """A damaged database, or a file that is none, is replaced."""
    disk.put("key", b"bytes")
    path = tmp_path / "cache" / "jp2" / "jp2-index.sqlite"
    path.write_bytes(path.read_bytes().replace(old, b"\x88" * len(old)) if old else b"not a database at all" * 300)
    assert disk.get("key") is None
    disk.put("key", b"other")
    assert disk.get("key") == b"other"


def test_an_entry_beyond_the_budget_displaces_nothing(tmp_path: Path) -> None:
    """An entry larger than the limit is not stored, and the others stay."""
    disk = SqliteStore(tmp_path, 1000)
    disk.put("small", bytes(99))
    disk.put("large", bytes(1001))
    assert disk.get("large") is None
    assert disk.get("small") == bytes(99)


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """If the folder cannot be written, indexes are not stored, and extraction works."""
    (tmp_path / "file").touch()
    disk = SqliteStore(tmp_path / "file" / "below", 1000)
    disk.put("key", b"bytes")
    assert disk.get("key") is None
    assert extract(cache_on(disk), Remote()) is not None


WRITER = """
import sys
from pathlib import Path
from sidecar_jp2.store import sqlite_store
sqlite_store.LOCK_TIMEOUT = 60  # a slow disk is no loss of this test
disk = sqlite_store.SqliteStore(Path(sys.argv[1]), 1 << 30)
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    disk.put(f"{sys.argv[2]} {number}", bytes(3000))
    disk.put("both", bytes([int(sys.argv[2])]) * 3000)
    assert len(set(disk.get("both"))) == 1
"""


def test_workers_share_the_disk(tmp_path: Path) -> None:
    """Two processes that begin at once, without a database, lose no entry and never read half of one."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    workers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in "12"
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    assert errors == [b"", b""]
    disk = SqliteStore(tmp_path, 1 << 30)
    assert all(disk.get(f"{name} {number}") == bytes(3000) for name in "12" for number in range(60))
