"""Files on this machine: one guarded way from a path below a root to a descriptor that is still the file found.

A path is looked up in two steps. Links are resolved first, and the result must lie below the root. From then on the
file is reached from the root folder by folder, none of them through a link (openat(2), `O_NOFOLLOW`: on any kernel what
openat2(2) calls `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), so that whoever swaps a folder for a link between the two
steps gains nothing. All functions block: call them in native threads.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from errno import EILSEQ, EINVAL, ELOOP, ENAMETOOLONG
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from gevent.monkey import get_original

from sidecar.errors import SourceChanged, SourceError
from sidecar.plugin.geometry import Buffer, ByteRange

# Linux: enough to pass through a folder that may be searched but not listed.
_FOLDER: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# O_NONBLOCK: opening a FIFO must not wait for a writer. It does nothing to regular files, and no others are read.
_FILE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_IMPOSSIBLE: Final = frozenset({ENAMETOOLONG, ELOOP, EINVAL, EILSEQ})
"""Errors for names that no file can have."""
_DESCRIPTORS: Final = Path("/proc/self/fd")
_sleep: Final[Callable[[float], None]] = get_original("time", "sleep")
"""For native threads: gevent's is for greenlets."""
_SETTLED: Final = 100_000_000
"""Nanoseconds after a change until which it may go on without showing. The clock of file times advances in steps of up
to 10 milliseconds, and one write(2), which sets the time when it begins, may wait for the disk in between."""
_LOOKS: Final = 3
"""At a file that changes all the time."""


class FileIdentity(NamedTuple):
    """What distinguishes two files, and two states of one.

    The time of the last change of status (`ctime_ns`) cannot be set by hand: it shows what is written with the old time
    put back, as `rsync --times --inplace` does, and files that were moved away and back.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Take the identity from a status."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file (or a folder, see `beside`) below a root, in the state in which it was found; a value."""

    root: str
    """Absolute, links resolved."""
    parts: tuple[str, ...]
    """From the root to the file: names without links, `.` and `..`."""
    identity: FileIdentity

    @classmethod
    def find(cls, root: str, path: str) -> LocalFile | None:
        """Return the regular file that a path leads to, links followed; None if there is none, or it is not below root.

        Raises SourceError if the filesystem fails, SourceChanged if the file is being written. Never waits for the
        other end of a FIFO.
        """
        try:
            top = os.path.realpath(root, strict=True)
            inside, real = top.rstrip("/") + "/", os.path.realpath(path, strict=True)
            if not real.startswith(inside):
                return None
            parts = tuple(real.removeprefix(inside).split("/"))
            status = _settled(top, parts)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # the latter: NUL, lone surrogates
            return None
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                return None
            raise SourceError(f"{Path(path).name!r}: {error.strerror}") from error
        return cls(top, parts, FileIdentity.of(status)) if stat.S_ISREG(status.st_mode) else None

    @property
    def name(self) -> str:
        """The file's own name, links resolved."""
        return self.parts[-1]

    @property
    def path(self) -> Path:
        """The whole path, for messages and digests. Opening it is not guarded: use `opened` or `held`."""
        return Path(self.root, *self.parts)

    @property
    def etag(self) -> str:
        """A digest of path, device, inode, size and both times of change."""
        stamp = ":".join(map(str, self.identity)).encode("ascii")
        return sha256(os.fsencode(self.path) + b"\0" + stamp).hexdigest()[:32]

    @property
    def last_modified(self) -> datetime | None:
        """Its time, in whole seconds as HTTP has them (RFC 9110 §5.6.7); None for a year beyond 9999."""
        try:
            return datetime.fromtimestamp(self.identity.mtime_ns // 10**9, tz=UTC)
        except (OverflowError, ValueError):
            return None

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open a descriptor to read from. The file is checked to be the one that was found, before and after its use.

        Raises SourceChanged if it is gone, replaced or written to, SourceError if the filesystem fails.
        """
        with _errors(self.name):
            descriptor = _open(self.root, self.parts, _FILE)
        try:
            self._compare(descriptor)
            yield descriptor
            self._compare(descriptor)
        finally:
            os.close(descriptor)

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range, whole and in order, of the file as it was found.

        Raises SourceError if a range lies outside the file or cannot be read, SourceChanged.
        """
        for wanted in ranges:
            if not 0 <= wanted.start <= wanted.stop <= self.identity.size:
                length = self.identity.size
                raise SourceError(f"{self.name!r} has {length} bytes, none at {wanted.start} to {wanted.stop}")
        with self.opened() as descriptor, _errors(self.name):
            buffers = [_pread(descriptor, wanted) for wanted in ranges]
        for wanted, buffer in zip(ranges, buffers, strict=True):
            if len(buffer) != wanted.length:
                raise SourceError(f"{self.name!r} ends before byte {wanted.stop}")
        return buffers

    def check(self) -> None:
        """Raise SourceChanged unless the path still leads to the file as it was found; SourceError."""
        with _errors(self.name):
            found = FileIdentity.of(_status(self.root, self.parts))
        if found != self.identity:
            raise SourceChanged(f"{self.name!r} has changed")

    def beside(self, *names: str) -> tuple[LocalFile, int] | None:
        """Return what lies in the same folder under a name (or in a folder below), and its kind (`stat.S_IFMT`).

        Links are not followed: their kind is `S_IFLNK`. None if there is nothing. Raises ValueError if a name is not
        plain: empty, dots, or with a slash or NUL; SourceError.
        """
        if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
            raise ValueError(f"not the name of a file: {names!r}")
        parts = (*self.parts[:-1], *names)
        try:
            status = _status(self.root, parts)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                return None
            raise SourceError(f"{names[-1]!r}: {error.strerror}") from error
        return LocalFile(self.root, parts, FileIdentity.of(status)), stat.S_IFMT(status.st_mode)

    def held(self) -> HeldFolder:
        """Hold the file's folder open. Raises SourceChanged if it is gone, SourceError."""
        with _errors(self.name):
            return HeldFolder(self.root, self.parts[:-1], _open(self.root, self.parts[:-1], _FOLDER))

    def _compare(self, descriptor: int) -> None:
        with _errors(self.name):
            status = os.fstat(descriptor)
        if FileIdentity.of(status) != self.identity or not stat.S_ISREG(status.st_mode):
            raise SourceChanged(f"{self.name!r} has changed")


@dataclass(eq=False, slots=True)
class HeldFolder:
    """A folder held open by a descriptor, for libraries that insist on paths: nobody can put another in its place."""

    root: str
    parts: tuple[str, ...]
    """From the root to the folder, when it was opened."""
    _descriptor: int = field(repr=False)

    @property
    def path(self) -> Path:
        """A path that leads to this very folder until it is closed; without /proc, the plain one."""
        path = _DESCRIPTORS / str(self._descriptor)
        return path if path.exists() else Path(self.root, *self.parts)

    def names(self) -> Sequence[str]:
        """Return the names of all that it holds, in order. Raises SourceError."""
        with _errors("the folder"):
            return sorted(os.listdir(self.path))  # noqa: PTH208  # names, not paths

    def check(self, files: Iterable[LocalFile]) -> None:
        """Raise SourceChanged unless files in it (or in folders below) are as they were found; SourceError."""
        for file in files:
            name = "/".join(file.parts[len(self.parts) :])
            with _errors(file.name):
                found = FileIdentity.of(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False))
            if found != file.identity:
                raise SourceChanged(f"{file.name!r} has changed")

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Map what the system raises for a file that was found: the text names no path."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceChanged(f"{name!r} is gone") from error
    except OSError as error:
        raise SourceError(f"{name!r}: {error.strerror}") from error


def _settled(root: str, parts: Sequence[str]) -> os.stat_result:
    """Return the status of a file whose last change is over. Raises OSError, SourceChanged if it goes on and on.

    What is written within a moment after the last change does not show in the status (so "racy" entries of Git's index
    are compared by content): a file that has changed just now is looked at again a moment later.
    """
    for _ in range(_LOOKS):
        status = _status(root, parts)
        young = time.time_ns() - status.st_ctime_ns
        if not 0 <= young < _SETTLED:
            return status
        _sleep((_SETTLED - young) / 1e9)
    raise SourceChanged(f"{parts[-1]!r} is being written")


def _status(root: str, parts: Sequence[str]) -> os.stat_result:
    folder = _open(root, parts[:-1], _FOLDER)
    try:
        return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(folder)


def _open(root: str, parts: Sequence[str], flags: int) -> int:
    """Open what lies below a root, not through a link. Raises OSError."""
    descriptor = os.open(root, _FOLDER)
    for index, name in enumerate(parts, 1):
        try:
            below = os.open(name, (flags if index == len(parts) else _FOLDER) | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _pread(descriptor: int, wanted: ByteRange) -> bytes:
    """Return the range, or what there is of it. Linux reads at most 2 GiB at once, and less if a signal interrupts."""
    chunks: list[bytes] = []
    position = wanted.start
    while position < wanted.stop and (chunk := os.pread(descriptor, wanted.stop - position, position)):
        chunks.append(chunk)
        position += len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
