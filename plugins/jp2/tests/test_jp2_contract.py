"""The contract of every decoder, for JPEG 2000."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import SIGNATURE, box, cdef, colr, ftyp, ihdr, jp2, picture

from sidecar.plugin import Blob
from sidecar.testing.contracts.decoder import DecoderContract, Make
from sidecar.testing.fakes import MemoryBlob, on_disk

IMAGES = Path(__file__).parents[3] / "tests" / "data" / "images"


def _made(make: Callable[[], bytes]) -> Make:
    def blob(folder: Path) -> Blob:
        del folder
        return MemoryBlob("made.jp2", make())

    return blob


def _local(name: str) -> Make:
    def blob(folder: Path) -> Blob:
        del folder
        return on_disk(IMAGES / f"{name}.jp2")

    return blob


def _remote(name: str) -> Make:
    return _made((IMAGES / f"{name}.jp2").read_bytes)


def _cut(name: str, length: int) -> Make:
    return _made(lambda: (IMAGES / f"{name}.jp2").read_bytes()[:length])


def _patched(at: int, data: bytes) -> Make:
    return _made(lambda: (content := picture((64, 48)))[:at] + data + content[at + len(data) :])


class TestJp2(DecoderContract):
    """The decoder keeps the contract for images of every geometry and colour, and refuses broken files."""

    decoder = Jp2Decoder(OpenJpeg(bind()))
    samples: ClassVar[Mapping[str, Make]] = {
        "grey of 16 bits": _remote("gray16"),
        "offset and tiles": _local("image_offset"),
        "odd tiles": _remote("odd_1023x767_tiled_300"),
        "opacity": _local("rgba"),
        "palette": _local("palette"),
        "4:2:0 with an offset": _made(partial(picture, (203, 157), "-d", "38,22", steps=((1, 1), (2, 2), (2, 2)))),
        "irreversible, small blocks": _made(partial(picture, (203, 157), "-I", "-b", "8,8", "-c", "[64,64],[32,32]")),
        "cmyk": _made(lambda: jp2(picture((61, 43), "-mct", "0", steps=((1, 1),) * 4), ihdr(4), colr(12))),
        "one pixel": _made(partial(picture, (1, 1), "-n", "1", steps=((1, 1),))),
    }
    nasties: ClassVar[Mapping[str, Make]] = {
        "cut in the signature": _cut("gray8", 9),
        "cut in the header boxes": _cut("gray8", 60),
        "cut in the main header": _cut("gray8", 120),
        "cut in the data": _cut("tiled_512", 200_000),
        "no codestream": _made(lambda: SIGNATURE + ftyp() + box(b"jp2h", ihdr() + colr(16))),
        "an empty codestream": _made(lambda: jp2(b"", ihdr(), colr(16))),
        "a size beyond all bytes": _patched(8, struct.pack(">II", 1 << 30, 1 << 30)),
        "65535 tiles": _patched(24, struct.pack(">II", 1, 1)),
        "no components": _patched(40, bytes(2)),
        "opacity of one colour": _made(
            lambda: jp2(
                picture((64, 48), "-mct", "0", steps=((1, 1),) * 2), ihdr(2), colr(17), cdef((0, 0, 1), (1, 1, 1))
            )
        ),
    }
