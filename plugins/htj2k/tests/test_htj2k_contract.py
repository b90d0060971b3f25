"""The contract of every decoder, for HTJ2K."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_htj2k.testing import Packing, encode, photograph, repack
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.testing import SIGNATURE, box, cdef, cmap, colr, ftyp, ihdr, jp2, pclr

from sidecar.plugin import Blob, Native
from sidecar.testing.contracts.decoder import DecoderContract, Make
from sidecar.testing.fakes import MemoryBlob

PRECINCTS = Packing(precincts=((7, 7), (7, 7), (8, 8)))


def _made(make: Callable[[], bytes]) -> Make:
    def blob(folder: Path) -> Blob:
        del folder
        return MemoryBlob("made.jph", make())

    return blob


def _local(make: Callable[[], bytes]) -> Make:
    def blob(folder: Path) -> Blob:
        path = folder / "made.jph"
        path.write_bytes(content := make())
        return MemoryBlob(path.name, content, path=path)

    return blob


def _small() -> bytes:
    return encode(photograph((64, 48)), levels=3)


def _patched(at: int, data: bytes) -> Make:
    return _made(lambda: (content := _small())[:at] + data + content[at + len(data) :])


def _palette() -> bytes:
    indices = encode(photograph((61, 43), 1) // 128, levels=2)
    entries = [(255, 0, 0), (0, 0, 255)]
    return jp2(indices, ihdr(1), colr(16), pclr(entries, (8, 8, 8)), cmap((0, 1, 0), (0, 1, 1), (0, 1, 2)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imagecodecs, of broken code blocks
class TestHtj2k(DecoderContract):
    """The decoder keeps the contract for images of every kind that OpenJPH decodes, and refuses broken files."""

    samples: ClassVar[Mapping[str, Make]] = {
        "one tile, no packet lengths": _made(lambda: encode(photograph((700, 500)))),
        "one tile, precincts": _made(lambda: repack(encode(photograph((1500, 1100))), PRECINCTS)),
        "one tile, precincts, irreversible": _local(
            lambda: repack(encode(photograph((1300, 900)), reversible=False), PRECINCTS)
        ),
        "tiles": _local(lambda: encode(photograph((700, 500)), tile=(256, 200))),
        "tiles with packet lengths": _made(lambda: repack(encode(photograph((700, 500)), tile=(256, 200)), PRECINCTS)),
        "grey of 16 bits": _made(lambda: encode(photograph((300, 200), 1, 16))),
        "grey of 12 bits": _made(lambda: encode(photograph((300, 200), 1, 12), 12)),
        "opacity": _made(
            lambda: jp2(
                encode(photograph((61, 43), 4)), ihdr(4), colr(16), cdef((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0))
            )
        ),
        "palette": _made(_palette),
        "one pixel": _made(lambda: encode(photograph((1, 1), 1), levels=1)),
    }
    nasties: ClassVar[Mapping[str, Make]] = {
        "cut in the signature": _made(lambda: jp2(_small(), ihdr(), colr(16))[:9]),
        "cut in the main header": _made(lambda: _small()[:60]),
        "cut in the data": _made(lambda: _small()[:3000]),
        "cut in a tile": _made(lambda: encode(photograph((300, 200)), tile=(128, 128))[:90_000]),
        "no codestream": _made(lambda: SIGNATURE + ftyp() + box(b"jp2h", ihdr() + colr(16))),
        "a size beyond all bytes": _patched(8, struct.pack(">II", 1 << 30, 1 << 30)),
        "65535 tiles": _patched(24, struct.pack(">II", 1, 1)),
        "no components": _patched(40, bytes(2)),
        "packet headers of noise": _patched(130, b"\xa5" * 60),
    }

    @classmethod
    def make(cls, native: Native) -> Htj2kDecoder:
        """Make the decoder with an index of its own."""
        return Htj2kDecoder(OpenJph(load()), IndexCache(native, 1 << 20), native)
