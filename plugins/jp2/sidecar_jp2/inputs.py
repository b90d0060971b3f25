"""Where OpenJPEG's bytes come from: memory, or a part of a file on this machine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sidecar.errors import SourceChanged, SourceError
from sidecar.model import Buffer, ByteRange
from sidecar_jp2.foreign import view


class MemoryInput:
    """A codestream in memory; nothing is copied but what OpenJPEG asks for."""

    def __init__(self, data: Buffer) -> None:
        self._bytes = np.frombuffer(data, np.uint8)  # keeps the buffer, and knows its address
        self._address = self._bytes.ctypes.data
        self.size = self._bytes.size

    def fill(self, address: int, count: int, offset: int) -> int:
        """Copy bytes to a place in memory, see `openjpeg.Input`."""
        count = max(min(count, self.size - offset), 0)
        ctypes.memmove(address, self._address + offset, count)
        return count


class FileInput:
    """A codestream in an open file, read piece by piece as OpenJPEG asks."""

    def __init__(self, descriptor: int, span: ByteRange) -> None:
        self._descriptor = descriptor
        self._start = span.start
        self.size = span.stop - span.start

    def fill(self, address: int, count: int, offset: int) -> int:
        """Read bytes to a place in memory, see `openjpeg.Input`. Raises SourceError."""
        count = min(count, self.size - offset)
        if count <= 0:
            return 0
        try:
            return os.preadv(self._descriptor, [view(address, count)], self._start + offset)
        except OSError as error:
            raise SourceError(str(error)) from error


@contextmanager
def opened(path: Path, span: ByteRange, size: int) -> Iterator[FileInput]:
    """Open a part of a file. Raises SourceError, and SourceChanged where the file's size is no longer `size`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(str(error)) from error
    try:
        if os.fstat(descriptor).st_size != size:
            raise SourceChanged(f"{path.name}: another size than when the request began")
        yield FileInput(descriptor, span)
    finally:
        os.close(descriptor)
