"""What only a filesystem has: links, races, odd kinds of files, errors of the system."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from errno import EACCES, EIO, ESTALE
from pathlib import Path

import pytest
from sidecar_filesystem import FilesystemSettings, FilesystemSource
from sidecar_filesystem.place import locate
from sidecar_filesystem.source import FileBlob

from sidecar.plugin import ByteRange, SourceChanged, SourceError, files, run_inline


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one file in a folder, and a secret beside it."""
    folder = tmp_path / "images" / "volume"
    folder.mkdir(parents=True)
    (folder / "page.jp2").write_bytes(b"content")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "page.jp2").write_bytes(b"secret!")
    return tmp_path / "images"


def source(root: Path) -> FilesystemSource:
    """The source of a root."""
    place = locate(FilesystemSettings(root=str(root)))
    assert place is not None
    return FilesystemSource(place, run_inline)


def find(root: Path, identifier: str = "volume/page.jp2") -> FileBlob:
    """A file that there is."""
    blob = source(root).find(identifier)
    assert blob is not None
    return blob


def test_blob_of_a_file(root: Path) -> None:
    """Name, path, size and time are the file's, the time in whole seconds."""
    os.utime(root / "volume" / "page.jp2", ns=(0, 1_700_000_000_999_999_999))
    blob = find(root)
    assert (blob.name, blob.size, blob.path) == ("page.jp2", 7, root / "volume" / "page.jp2")
    assert blob.last_modified == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_time_that_no_calendar_has(root: Path) -> None:
    """A file dated after the year 9999 has no time."""
    blob = find(root)
    distant = replace(blob.file, identity=blob.file.identity._replace(mtime_ns=10**21))
    assert FileBlob(distant, run_inline).last_modified is None


def test_links_within_the_root(root: Path) -> None:
    """Links to files and folders below the root lead there, and the blob is that of the file they lead to."""
    (root / "link.svs").symlink_to("volume/page.jp2")
    (root / "other").symlink_to(root / "volume")
    assert find(root, "link.svs") == find(root, "other/page.jp2") == find(root)
    assert find(root, "link.svs").name == "page.jp2"


def test_root_that_is_a_link(root: Path, tmp_path: Path) -> None:
    """The root may be a link, and may be turned to another folder while the source is in use."""
    current = tmp_path / "current"
    current.symlink_to(root / "volume")
    images = source(current)
    blob = images.find("page.jp2")
    assert blob is not None
    assert blob.etag == find(root).etag
    current.unlink()
    current.symlink_to(root)
    assert images.find("page.jp2") is None
    assert images.find("volume/page.jp2") == find(root)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, _socket])
def test_only_regular_files(root: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no regular file is not found; nothing is opened that would wait."""
    monkeypatch.chdir(root)  # the name of a socket may have 108 bytes
    make(root / "odd.jp2")
    assert source(root).find("odd.jp2") is None


def test_devices() -> None:
    """A device is no regular file either."""
    assert source(Path("/dev")).find("null") is None


def test_fifo_in_place_of_a_file(root: Path) -> None:
    """A file swapped for a FIFO after it was found is a change, and reading it does not wait for a writer."""
    blob = find(root)
    blob.path.unlink()
    os.mkfifo(blob.path)
    with pytest.raises(SourceError):
        blob.read([ByteRange(0, 7)])


@pytest.mark.parametrize("swapped", ["volume", "volume/page.jp2"])
def test_link_in_place_of_what_was_found(root: Path, tmp_path: Path, swapped: str) -> None:
    """A folder or file swapped for a link to the outside after the look-up is not followed."""
    blob = find(root)
    (root / swapped).rename(tmp_path / "moved")
    (root / swapped).symlink_to(tmp_path / "private" / ("" if swapped == "volume" else "page.jp2"))
    with pytest.raises(SourceError):
        blob.read([ByteRange(0, 7)])


@pytest.mark.parametrize("swapped", ["volume", "volume/page.jp2"])
def test_link_between_steps(root: Path, tmp_path: Path, swapped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a link that replaces it between resolving the path and opening it."""
    images = source(root)
    resolve = os.path.realpath

    def resolve_then_swap(path: str, *, strict: bool) -> str:
        real = resolve(path, strict=strict)
        if real.endswith("page.jp2"):
            (root / swapped).rename(tmp_path / "moved")
            (root / swapped).symlink_to(tmp_path / "private" / ("" if swapped == "volume" else "page.jp2"))
        return real

    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    assert images.find("volume/page.jp2") is None


@pytest.mark.parametrize("content", [b"CONTENT", b"content and more", b"con", b""])
def test_file_written_in_place(root: Path, content: bytes) -> None:
    """A file that is rewritten, or cut, after it was found has changed."""
    blob = find(root)
    blob.path.write_bytes(content)
    os.utime(blob.path, ns=(0, 1))
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(0, 7)])


def test_file_replaced_by_its_like(root: Path) -> None:
    """A file of the same size and time in its place is another one."""
    blob = find(root)
    status = blob.path.stat()
    fresh = root / "fresh"
    fresh.write_bytes(b"CONTENT")
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.replace(blob.path)
    assert find(root).etag != blob.etag
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(0, 1)])


@pytest.mark.parametrize("when", ["before", "during"])
def test_overwritten_with_its_time_put_back(root: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Other content of the same size under the old time shows: before the read, and while it is under way."""
    blob, pread = find(root), os.pread
    status = blob.path.stat()

    def overwrite() -> None:
        with blob.path.open("r+b") as file:
            file.write(b"CONTENT")
        os.utime(blob.path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def overwrite_and_read(descriptor: int, length: int, offset: int) -> bytes:
        overwrite()
        return pread(descriptor, length, offset)

    if when == "before":
        overwrite()
    else:
        monkeypatch.setattr(os, "pread", overwrite_and_read)
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(0, 7)])
    assert find(root).etag != blob.etag


def test_moved_away_and_back(root: Path) -> None:
    """A file that was moved away for a while counts as changed: what lay in its place may have been read."""
    blob = find(root)
    blob.path.rename(root / "away")
    (root / "away").rename(blob.path)
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(0, 7)])


def test_written_within_a_moment(root: Path) -> None:
    """A file that is found while it is written is looked at again: whatever follows shows in its status."""
    path = root / "volume" / "page.jp2"
    for turn in range(4):
        path.write_bytes(b"one" if turn % 2 else b"two")
        blob = find(root)
        assert bytes(blob.read([ByteRange(0, 3)])[0]) == (b"one" if turn % 2 else b"two")
        path.write_bytes(b"TWO" if turn % 2 else b"ONE")
        with pytest.raises(SourceChanged):
            blob.read([ByteRange(0, 3)])


def test_written_all_the_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written without end is refused while that lasts."""
    path = root / "volume" / "page.jp2"
    monkeypatch.setattr(files, "_sleep", lambda _: path.write_bytes(b"another"))
    path.write_bytes(b"content")
    with pytest.raises(SourceChanged, match="is being written"):
        find(root)


def test_file_removed(root: Path) -> None:
    """A file that is gone has changed."""
    blob = find(root)
    blob.path.unlink()
    with pytest.raises(SourceChanged):
        blob.read([ByteRange(0, 7)])


def test_reads_in_parts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system returns fewer bytes than asked for, the rest is read again."""
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, length, offset: pread(descriptor, min(length, 2), offset))
    assert find(root).read([ByteRange(0, 7), ByteRange(1, 4)]) == [b"content", b"ont"]


def test_short_reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that ends before its size is an error, not a short buffer."""
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, length, offset: pread(descriptor, length, offset)[: 3 - offset])
    with pytest.raises(SourceError, match="ends"):
        find(root).read([ByteRange(0, 7)])


@pytest.mark.parametrize("number", [EACCES, EIO, ESTALE])
def test_errors_of_the_system(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What the filesystem refuses is an error of the source, when finding and when reading; no path is shown."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(root))

    blob = find(root)
    monkeypatch.setattr(os, "pread", refuse)
    with pytest.raises(SourceError, match=os.strerror(number)) as reading:
        blob.read([ByteRange(0, 7)])
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceError, match=os.strerror(number)) as finding:
        source(root).find("volume/page.jp2")
    assert str(root) not in f"{reading.value}{finding.value}"


def test_names_that_are_not_text(root: Path) -> None:
    """A file whose name is no UTF-8 is found by its bytes, as the URL's percent-encoding holds them."""
    (root / os.fsdecode(b"caf\xe9.jp2")).write_bytes(b"latin")
    assert find(root, "caf\udce9.jp2").read([ByteRange(0, 5)]) == [b"latin"]
    assert find(root, "caf\udce9.jp2").etag.isascii()


def test_file_with_a_folder_of_its_own(root: Path) -> None:
    """A slide that is a file and a folder of the same name is found by the file."""
    (root / "slide.mrxs").write_bytes(b"main")
    (root / "slide").mkdir()
    assert find(root, "slide.mrxs").name == "slide.mrxs"
    assert source(root).find("slide") is None
