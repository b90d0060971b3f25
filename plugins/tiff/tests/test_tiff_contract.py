"""The decoder of TIFF slides under the contract that every decoder is held to."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import ClassVar

from sidecar_openslide.sample import Tile, write_tiff
from sidecar_tiff import samples as made
from sidecar_tiff.places import Paging
from sidecar_tiff.slide import Coding
from sidecar_tiff.testing import Making

from sidecar.plugin import Decoder, Native, Size
from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.fakes import MemoryBlob, on_disk


def _far(path: Path) -> MemoryBlob:
    return MemoryBlob(path.name, path.read_bytes())


def _changed(folder: Path, start: int, content: bytes) -> MemoryBlob:
    whole = bytearray(made.aperio(folder, Making(), made.EVEN).read_bytes())
    whole[start : start + len(content)] = content
    return MemoryBlob("changed.svs", bytes(whole))


def _circle(folder: Path) -> MemoryBlob:
    """A TIFF whose only directory says that it is followed by itself."""
    del folder
    head = struct.pack("<4sI", b"II*\0", 8)
    return MemoryBlob("circle.tif", head + struct.pack("<HHHIHxxI", 1, 256, 3, 1, 64, 8))


def _sparse(folder: Path) -> MemoryBlob:
    path = folder / "sparse.tif"
    if not path.exists():
        write_tiff(path, made.levels(made.ODD), tile=128, missing={Tile(0, 0, 0), Tile(0, 2, 4), Tile(1, 0, 1)})
    return on_disk(path)


def _scribbled(folder: Path) -> MemoryBlob:
    return _changed(folder, 8, b"\x55" * 30000)


class TestTiff(DecoderContract):
    """Aperio slides and plain pyramids, near and far."""

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Make the decoder; it has no use for native threads of its own."""
        del native
        return made.decoder()

    samples: ClassVar = {
        "Aperio, YCbCr 4:4:4, odd ratios, shared tables": lambda folder: _far(made.aperio(folder, made.CODINGS[1])),
        "Aperio, RGB, shared tables, ICC": lambda folder: on_disk(made.aperio(folder, made.CODINGS[2], icc=made.SRGB)),
        "Aperio, JPEG 2000, YCbCr": lambda folder: on_disk(made.aperio(folder, made.CODINGS[4], Size(300, 260))),
        "plain, tiles that cannot be halved": lambda folder: _far(
            made.plain(folder, Making(tile=200 - 3), Size(400, 300))
        ),
        "plain, grey": lambda folder: on_disk(made.plain(folder, Making(coding=Coding.JPEG_GREY))),
        "plain, tiles missing": _sparse,
    }
    nasties: ClassVar = {
        "header only": lambda folder: MemoryBlob("head.svs", _changed(folder, 0, b"").content[:8]),
        "half": lambda folder: MemoryBlob("half.svs", _changed(folder, 0, b"").content[:50_000]),
        "directory outside": lambda folder: _changed(folder, 4, b"\xff\xff\xff\x7f"),
        "no directory": lambda folder: _changed(folder, 4, b"\0\0\0\0"),
        "circle": _circle,
        "tiles scribbled over": _scribbled,
    }


class TestPaged(DecoderContract):
    """The same with lists of tiles that stay in the file, in pages of a few tiles, hardly any of which is kept."""

    @classmethod
    def make(cls, native: Native) -> Decoder:
        """Return a decoder that leaves all lists in the file, in pages of two tiles."""
        del native
        return made.decoder(Paging(whole=0, page=2, kept_bytes=1000))

    samples: ClassVar = {
        "Aperio, from afar": lambda folder: _far(made.aperio(folder, made.CODINGS[0])),
        "plain, tiles missing": lambda folder: _far(_sparse(folder).path or folder),
    }
    nasties: ClassVar = {
        "half": lambda folder: MemoryBlob("half.svs", _changed(folder, 0, b"").content[:50_000]),
        "tiles scribbled over": _scribbled,
    }
