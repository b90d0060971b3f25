"""A plugin for tests: gradients whose second line says what goes wrong while they are opened or read.

`crash`: native code writes where no memory is. `stall PATH`: the call does not return as long as there is a file PATH.
`raise open` and `raise read`: that call raises an exception that no decoder should.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from pathlib import Path

from sidecar.plugin import Blob, Buffer, ByteRange, Decoder, ImageInfo, Pixels, Rect, Window, hookimpl
from sidecar.testing.fakes import GradientDecoder, GradientReader

SIDECAR_API = 1
_C = ctypes.CDLL(None)


class TroubleReader:
    """A gradient whose reading goes wrong."""

    def __init__(self, reader: GradientReader, trouble: str) -> None:
        self._reader, self._trouble = reader, trouble
        self.info: ImageInfo = reader.info

    def window(self, level: int, region: Rect) -> Window:
        """Return the window of the gradient."""
        return self._reader.window(level, region)

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Shade the window, if all goes well. Raises as any gradient, also if it was closed meanwhile."""
        kind, _, path = self._trouble.partition(" ")
        if self._trouble == "raise read":
            raise ZeroDivisionError("this decoder is broken")
        if kind == "crash":
            _C.memset(ctypes.c_void_p(8), 0, ctypes.c_size_t(1))
        while kind == "stall" and Path(path).exists():
            _C.usleep(20_000)
        self._reader.read(window, data, into)

    def close(self) -> None:
        """Close the gradient."""
        self._reader.close()


class TroubleDecoder:
    """Opens gradients in files with a suffix that nginx sends to the sidecar."""

    name = "trouble"
    suffixes = frozenset({"czi"})

    def recognizes(self, head: bytes) -> bool:
        """Recognize nothing: gradients are found by their suffix."""
        del head
        return False

    def open(self, blob: Blob) -> TroubleReader:
        """Read both lines."""
        lines = bytes(blob.read([ByteRange(0, blob.size)])[0]).decode().splitlines()
        if lines[1] == "raise open":
            raise ZeroDivisionError("this decoder is broken")
        return TroubleReader(GradientDecoder().open(blob), lines[1])


@hookimpl
def register_decoders() -> Iterable[Decoder]:
    """Register the decoder."""
    return [TroubleDecoder()]
