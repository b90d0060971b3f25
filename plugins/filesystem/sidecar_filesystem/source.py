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

from sidecar.errors import SourceChanged, SourceError
from sidecar.interfaces import Native
from sidecar.model import Buffer, ByteRange
from sidecar_filesystem.place import Address, Place

# What the system answers to names that no file of its can have.
_IMPOSSIBLE: Final = frozenset({ENAMETOOLONG, ELOOP, EINVAL, EILSEQ})


class Identity(NamedTuple):
    """What tells two states of a file apart."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """That of a file whose status is known."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A regular file, in the state it was found in."""

    address: Address
    identity: Identity
    native: Native = field(repr=False)

    @property
    def name(self) -> str:
        """The file's own name, links resolved."""
        return self.address.parts[-1]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.identity.size

    @property
    def etag(self) -> str:
        """Of path, device, inode, size and time of change."""
        stamp = ":".join(map(str, self.identity)).encode("ascii")
        return sha256(os.fsencode(self.path) + b"\0" + stamp).hexdigest()[:32]

    @property
    def last_modified(self) -> datetime | None:
        """The file's time, in whole seconds as HTTP has them (RFC 9110 §5.6.7); None for a year beyond 9999."""
        try:
            return datetime.fromtimestamp(self.identity.mtime_ns // 10**9, tz=UTC)
        except (OverflowError, ValueError):
            return None

    @property
    def path(self) -> Path:
        """Where it lies, links resolved."""
        return self.address.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """The bytes of each range, of the file as it was found.

        Raises SourceError where a range is none of the file or cannot be read, SourceChanged where the file is
        another one by now.
        """
        for wanted in ranges:
            if not 0 <= wanted.start <= wanted.stop <= self.size:
                raise SourceError(f"{self.name!r} has {self.size} bytes, none at {wanted.start} to {wanted.stop}")
        return self.native(self._read, ranges)

    def _read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        # One descriptor for each call, not one for each blob: nothing to give back, nothing to leak.
        try:
            with self.address.opened() as descriptor:
                buffers = [_pread(descriptor, wanted) for wanted in ranges]
                # Looked at afterwards: what was written while reading shows too.
                found = Identity.of(os.fstat(descriptor))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceChanged(f"{self.name!r} is gone") from error
        except OSError as error:
            raise SourceError(f"{self.name!r}: {error.strerror}") from error
        if found != self.identity:
            raise SourceChanged(f"{self.name!r} has changed")
        for wanted, buffer in zip(ranges, buffers, strict=True):
            if len(buffer) != wanted.stop - wanted.start:
                raise SourceError(f"{self.name!r} ends before byte {wanted.stop}")
        return buffers


def _pread(descriptor: int, wanted: ByteRange) -> bytes:
    """The range, or what there is of it. Linux gives at most 2 GiB in one go, and less where a signal comes between."""
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
        """The regular file of an identifier, or None. Raises SourceError where the filesystem does not answer."""
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
        return FileBlob(address, Identity.of(status), self._native)
