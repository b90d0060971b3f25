"""Files as blobs. All that touches the filesystem runs in native threads: on network mounts even a look-up is slow."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from errno import EILSEQ, EINVAL, ELOOP, ENAMETOOLONG
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from sidecar.plugin import Buffer, ByteRange, Native, SourceChanged, SourceError
from sidecar_filesystem.place import Address, Place

_IMPOSSIBLE: Final = frozenset({ENAMETOOLONG, ELOOP, EINVAL, EILSEQ})
"""Errors for names that no file can have."""


class FileState(NamedTuple):
    """What distinguishes two states of a file."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """Take the state from a status."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A regular file, in the state it was found in."""

    address: Address
    state: FileState
    native: Native = field(repr=False)

    @property
    def name(self) -> str:
        """The file's own name, links resolved."""
        return self.address.parts[-1]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.state.size

    @property
    def etag(self) -> str:
        """Of path, device, inode, size and time of change."""
        stamp = ":".join(map(str, self.state)).encode("ascii")
        return sha256(os.fsencode(self.path) + b"\0" + stamp).hexdigest()[:32]

    @property
    def last_modified(self) -> datetime | None:
        """The file's time, in whole seconds as HTTP has them (RFC 9110 §5.6.7); None for a year beyond 9999."""
        try:
            return datetime.fromtimestamp(self.state.mtime_ns // 10**9, tz=UTC)
        except (OverflowError, ValueError):
            return None

    @property
    def path(self) -> Path:
        """The file, links resolved."""
        return self.address.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return the bytes of each range, of the file as it was found.

        Raises SourceError if a range lies outside the file or cannot be read, SourceChanged if the file has changed
        since.
        """
        for wanted in ranges:
            if not 0 <= wanted.start <= wanted.stop <= self.size:
                raise SourceError(f"{self.name!r} has {self.size} bytes, none at {wanted.start} to {wanted.stop}")
        return self.native(self._read, ranges)

    def _read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        # One descriptor for each call, not one for each blob: nothing to close later, nothing to leak.
        try:
            with self.address.opened() as descriptor:
                buffers = [_pread(descriptor, wanted) for wanted in ranges]
                # Checked afterwards: what was written while reading shows too.
                found = FileState.of(os.fstat(descriptor))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceChanged(f"{self.name!r} is gone") from error
        except OSError as error:
            raise SourceError(f"{self.name!r}: {error.strerror}") from error
        if found != self.state:
            raise SourceChanged(f"{self.name!r} has changed")
        for wanted, buffer in zip(ranges, buffers, strict=True):
            if len(buffer) != wanted.stop - wanted.start:
                raise SourceError(f"{self.name!r} ends before byte {wanted.stop}")
        return buffers


def _pread(descriptor: int, wanted: ByteRange) -> bytes:
    """Return the range, or what there is of it. Linux reads at most 2 GiB at once, and less if a signal interrupts."""
    chunks: list[bytes] = []
    position = wanted.start
    while position < wanted.stop and (chunk := os.pread(descriptor, wanted.stop - position, position)):
        chunks.append(chunk)
        position += len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class FilesystemSource:
    """Files of one place."""

    def __init__(self, place: Place, native: Native) -> None:
        self._place = place
        self._native = native

    @property
    def name(self) -> str:
        """For logs and metrics."""
        return "filesystem"

    def find(self, identifier: str) -> FileBlob | None:
        """Return the regular file of an identifier, or None. Raises SourceError if the filesystem fails."""
        return self._native(self._find, identifier)

    def _find(self, identifier: str) -> FileBlob | None:
        try:
            address = self._place.address(identifier)
            status = None if address is None else address.status()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                return None
            raise SourceError(f"{identifier!r}: {error.strerror}") from error
        if address is None or status is None or not stat.S_ISREG(status.st_mode):
            return None
        return FileBlob(address, FileState.of(status), self._native)
