"""Where packet indexes are kept: a budget of memory, and a disk shared by workers that nobody can trust."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sidecar_jp2 import snapshot
from sidecar_jp2.chain import Chain
from sidecar_jp2.codestream import parse_main_header
from sidecar_jp2.disk import Disk
from sidecar_jp2.openjpeg import Area
from sidecar_jp2.sparse import SmallCodestream
from sidecar_jp2.store import ENTRY_BYTES, IndexStore
from sidecar_jp2.testing import picture

from sidecar.model import ByteRange
from sidecar.native import direct

AREA = Area(40, 40, 90, 90, 0, 1)
SMALLER = Area(0, 0, 200, 150, 1, 1)
DATA = picture((200, 150), "-p", "RPCL", "-t", "64,64", "-c", "[32,32]", "-PLT", "-n", "3")
HEADER = parse_main_header(DATA)


@dataclass
class Remote:
    """A blob that keeps what it was asked for."""

    etag: str = "one"
    content: bytes = field(default=DATA, repr=False)
    name: str = "a.j2k"
    last_modified: None = None
    path: Path | None = None
    asked: list[ByteRange] = field(default_factory=list)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)

    def read(self, ranges: list[ByteRange]) -> list[bytes]:
        """The bytes."""
        self.asked += ranges
        return [self.content[part.start : part.stop] for part in ranges]


def cut(store: IndexStore, blob: Remote, area: Area = AREA) -> SmallCodestream:
    """What a reader does."""
    small = store.cutter(blob, parse_main_header(blob.content), blob.size).cut(area)  # type: ignore[arg-type]  # a list is a sequence
    assert small is not None
    return small


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """An empty disk, its folder not made yet."""
    return Disk(tmp_path / "cache" / "jp2", 1 << 20)


def test_an_index_is_learned_once_in_a_worker() -> None:
    """A second reader of the same content reads nothing of the index."""
    store, again = IndexStore(direct, 1 << 20), Remote()
    first = cut(store, Remote())
    assert cut(store, again) == first
    assert not again.asked


def test_an_index_outlives_the_worker(disk: Disk) -> None:
    """A store that starts later, or in another process, finds what was learned on disk."""
    first = cut(IndexStore(direct, 1 << 20, disk), Remote())
    blob = Remote()
    later = IndexStore(direct, 1 << 20, disk)
    assert cut(later, blob) == first
    assert not blob.asked
    cut(later, blob, SMALLER)
    assert blob.asked
    third = Remote()
    assert cut(IndexStore(direct, 1 << 20, disk), third, SMALLER) == cut(later, blob, SMALLER)
    assert not third.asked


def test_other_content_has_another_index(disk: Disk) -> None:
    """An object whose etag changed is learned anew."""
    store = IndexStore(direct, 1 << 20, disk)
    cut(store, Remote())
    changed = Remote("two", picture((200, 150), "-p", "RLCP", "-t", "64,64", "-c", "[32,32]", "-PLT", "-n", "3"))
    small = cut(store, changed)
    assert changed.asked
    assert small == cut(IndexStore(direct, 1 << 20), changed)


def test_memory_keeps_to_its_budget() -> None:
    """The indexes not used for longest go first, and the one in use never."""
    store = IndexStore(direct, 3 * ENTRY_BYTES * 4)
    for number in range(40):
        cut(store, Remote(f"etag {number}"))
        cut(store, Remote("often"))
    assert store.nbytes <= 3 * ENTRY_BYTES * 4
    blob = Remote("often")
    cut(store, blob)
    assert not blob.asked
    old = Remote("etag 0")
    cut(store, old)
    assert old.asked
    assert cut(IndexStore(direct, 0), Remote()) is not None


def test_the_disk_keeps_to_its_budget(tmp_path: Path) -> None:
    """What was not used for longest makes room."""
    disk = Disk(tmp_path, 1000)
    for number in range(20):
        disk.put(f"key {number}", bytes(99))
        assert disk.get("key 0") == bytes(99)
    with sqlite3.connect(tmp_path / "jp2-index.sqlite") as table:
        assert table.execute("SELECT SUM(LENGTH(data)) FROM entry").fetchone()[0] <= 1000
    table.close()
    assert disk.get("key 1") is None
    assert disk.get("key 19") == bytes(99)


@pytest.mark.parametrize(
    "damage", [b"", b"no archive", b"PK\x03\x04" + bytes(50), "half", "flipped", "encrypted", "old", "foreign"]
)
def test_a_damaged_entry_is_dropped(disk: Disk, damage: bytes | str) -> None:
    """Bytes that are no snapshot of this codestream are as if they were not there, and are gone afterwards."""
    store = IndexStore(direct, 1 << 20, disk)
    expected = cut(store, Remote())
    key = f"one/0/{len(DATA)}"
    sound = disk.get(key)
    assert sound is not None
    disk.put(key, _damaged(sound, damage))
    blob = Remote()
    assert cut(IndexStore(direct, 1 << 20, disk), blob) == expected
    assert blob.asked
    kept = disk.get(key)
    assert kept is not None
    snapshot.restore(Chain(HEADER, len(DATA)), kept)


def _damaged(sound: bytes, damage: bytes | str) -> bytes:
    if isinstance(damage, bytes):
        return damage
    if damage == "half":
        return sound[: len(sound) // 2]
    if damage == "flipped":
        middle = len(sound) // 3
        return sound[:middle] + bytes([sound[middle] ^ 255]) + sound[middle + 1 :]
    if damage == "encrypted":  # a flag in the archive's directory, which no checksum of ZIP covers
        flags = sound.index(b"PK\x01\x02") + 8
        return sound[:flags] + b"\x01" + sound[flags + 1 :]
    chain = Chain(HEADER, len(DATA) + (damage == "foreign"))
    arrays = dict(snapshot.take(chain))
    arrays["version"] = arrays["version"] - [damage == "old", 0, 0, 0, 0]
    return snapshot.dump(arrays)


@pytest.mark.parametrize("old", [b"", b"TABLE entry"], ids=["no database", "a schema that is no text"])
def test_a_damaged_table_begins_anew(disk: Disk, tmp_path: Path, old: bytes) -> None:
    """A file that is no database, or a broken one, is replaced."""
    disk.put("key", b"bytes")
    path = tmp_path / "cache" / "jp2" / "jp2-index.sqlite"
    path.write_bytes(path.read_bytes().replace(old, b"\x88" * len(old)) if old else b"not a database at all" * 300)
    assert disk.get("key") is None
    disk.put("key", b"other")
    assert disk.get("key") == b"other"


def test_an_entry_beyond_the_budget_displaces_nothing(tmp_path: Path) -> None:
    """It is not kept, and the others are."""
    disk = Disk(tmp_path, 1000)
    disk.put("small", bytes(99))
    disk.put("large", bytes(1001))
    assert disk.get("large") is None
    assert disk.get("small") == bytes(99)


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """Without a disk there are only fewer indexes."""
    (tmp_path / "file").touch()
    disk = Disk(tmp_path / "file" / "below", 1000)
    disk.put("key", b"bytes")
    assert disk.get("key") is None
    assert cut(IndexStore(direct, 1 << 20, disk), Remote()) is not None


WRITER = """
import sys
from pathlib import Path
from sidecar_jp2.disk import Disk
disk = Disk(Path(sys.argv[1]), 1 << 30)
for number in range(60):
    disk.put(f"{sys.argv[2]} {number}", bytes(3000))
    disk.put("both", bytes([int(sys.argv[2])]) * 3000)
    assert len(set(disk.get("both"))) == 1
"""


def test_workers_share_the_disk(tmp_path: Path) -> None:
    """Two processes that write at once lose nothing and never see half of an entry."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    workers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in "12"]
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    disk = Disk(tmp_path, 1 << 30)
    assert all(disk.get(f"{name} {number}") == bytes(3000) for name in "12" for number in range(60))
