"""The inputs of OpenJPEG: a codestream in memory, or a part of a local file."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sidecar.plugin import Blob, Buffer, ByteRange, SourceChanged, SourceError, local_file
from sidecar_jp2.openjpeg.memory_view import view


class MemoryInput:
    """A codestream in memory; only the bytes that OpenJPEG asks for are copied."""

    def __init__(self, data: Buffer) -> None:
        self._bytes = np.frombuffer(data, np.uint8)  # keeps the buffer alive and knows its address
        self._address = self._bytes.ctypes.data
        self.size = self._bytes.size

    def fill(self, address: int, count: int, offset: int) -> int:
        """Copy bytes to an address; see `codec.Input`."""
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
        """Read bytes to an address; see `codec.Input`. Raises SourceError."""
        count = min(count, self.size - offset)
        if count <= 0:
            return 0
        try:
            return os.preadv(self._descriptor, [view(address, count)], self._start + offset)
        except OSError as error:
            raise SourceError(str(error)) from error


@contextmanager
def open_input(blob: Blob, span: ByteRange) -> Iterator[FileInput]:
    """Open a part of the file behind a blob, as long as it is the file that was found, before and after its use.

    Raises SourceError, and SourceChanged if it is gone, replaced or written to.
    """
    file = local_file(blob)
    if file is None or file.identity.size != blob.size:
        raise SourceChanged(f"{blob.name}: it has changed since the request began")
    with file.opened() as descriptor:
        yield FileInput(descriptor, span)
