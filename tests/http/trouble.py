"""A plugin for tests: gradients whose second line says what goes wrong in native code while they are read.

`crash`: the process reads where no memory is. `stall PATH`: the call does not return as long as there is a file PATH.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from pathlib import Path

from sidecar import hookimpl
from sidecar.interfaces import Blob, Decoder
from sidecar.model import Buffer, ByteRange, ImageInfo, Pixels, Rect, Window
from sidecar.testing.fakes import GradientDecoder, GradientReader

_C = ctypes.CDLL(None)


class TroubleReader:
    """A gradient that is read with trouble."""

    def __init__(self, reader: GradientReader, trouble: str) -> None:
        self._reader, self._trouble = reader, trouble
        self.info: ImageInfo = reader.info

    def window(self, level: int, region: Rect) -> Window:
        """As of any gradient."""
        return self._reader.window(level, region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade it, if all goes well. Raises as any gradient, also where it was closed meanwhile."""
        kind, _, path = self._trouble.partition(" ")
        if kind == "crash":
            _C.memset(ctypes.c_void_p(8), 0, ctypes.c_size_t(1))
        while kind == "stall" and Path(path).exists():
            _C.usleep(20_000)
        self._reader.read(window, data, into)

    def close(self) -> None:
        """As any gradient."""
        self._reader.close()


class TroubleDecoder:
    """Opens gradients in files whose name nginx lets through."""

    name = "trouble"
    suffixes = frozenset({"czi"})

    def open(self, blob: Blob) -> TroubleReader:
        """Read both lines."""
        lines = bytes(blob.read([ByteRange(0, blob.size)])[0]).decode().splitlines()
        return TroubleReader(GradientDecoder().open(blob), lines[1])


@hookimpl
def register_decoders() -> Iterable[Decoder]:
    """The decoder of troubles."""
    return [TroubleDecoder()]
