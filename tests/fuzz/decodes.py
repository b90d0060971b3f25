"""Real decodes of changed files, by the native libraries through the plugins: each in a child that may crash.

Nothing guides the search here but the structure of the files: the libraries are not built to report what they reach.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load as load_openslide
from sidecar_openslide.sample import pyramid, tissue, write_svs, write_tiff
from sidecar_openslide.settings import OpenSlideSettings
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load as load_turbojpeg

from sidecar.errors import HandOver, Refusal
from sidecar.plugin import Decoder, Frame, Rect, Size, run_inline
from sidecar.testing.fakes import MemoryBlob, on_disk
from sidecar.testing.reading import read
from tests.fuzz import structures
from tests.fuzz.mutation import scattered
from tests.fuzz.target import DATA, SEED
from tests.resilience.corruption import mutated

MOST_PIXELS: Final = 1 << 24
"""Of a level that is decoded whole; larger ones in windows only, as the budget would have it."""
SIDE: Final = 256
Change = Callable[[random.Random, Sequence[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Decode:
    """A library under attack. Its inputs lie in tests/data/fuzz, in a folder of its name."""

    name: str
    run: Callable[[bytes], object] = field(repr=False)
    """Raises SidecarError if the library refuses an input. Called in the child."""
    seeds: Callable[[], Sequence[bytes]] = field(repr=False)
    change: Change = field(repr=False)

    @property
    def folder(self) -> Path:
        """Where its inputs lie."""
        return DATA / self.name

    def corpus(self) -> list[bytes]:
        """Return the inputs that are kept."""
        return [path.read_bytes() for path in sorted(self.folder.glob("*"))]

    def sound(self) -> list[bytes]:
        """Return the inputs that are decoded: changes of others are mostly refused before a library sees them."""
        kept = [path.read_bytes() for path in sorted(self.folder.glob(f"{SEED}*"))]
        return kept or [*self.seeds()]


def show(decoder: Decoder, blob: MemoryBlob) -> None:
    """Open a file and read a window in the middle of each level, and the whole of small ones."""
    reader = decoder.open(blob)
    try:
        for number, level in enumerate(reader.info.levels):
            width, height = min(SIDE, level.size.width), min(SIDE, level.size.height)
            middle = Rect((level.size.width - width) // 2, (level.size.height - height) // 2, width, height)
            read(reader, blob, number, middle)
            if level.size.width * level.size.height <= MOST_PIXELS:
                read(reader, blob, number, Rect(0, 0, level.size.width, level.size.height))
    finally:
        reader.close()


def openjpeg(content: bytes) -> None:
    """Decode as the plugin `jp2` does: from a path, and from ranges."""
    decoder = Jp2Decoder(
        structures.OPENJPEG, extractors=partial(IndexedExtractor, IndexCache(run_inline, structures.INDEX_BYTES))
    )
    try:
        show(decoder, MemoryBlob("a.jp2", content))
    except (HandOver, Refusal):
        _from_file(decoder, content, "a.jp2")
        raise
    _from_file(decoder, content, "a.jp2")


def openjph(content: bytes) -> None:
    """Decode as the plugin `htj2k` does."""
    show(Htj2kDecoder(structures.OPENJPH, IndexCache(run_inline, structures.INDEX_BYTES)), MemoryBlob("a.jph", content))


def openslide(content: bytes) -> None:
    """Decode as the plugin `openslide` does."""
    library = load_openslide(1 << 24)
    _from_file(OpenSlideDecoder(library, OpenSlideSettings().suffixes, run_inline), content, "a.svs")


def turbojpeg(content: bytes) -> None:
    """Compress as the plugin `turbojpeg` does: the input says how wide, how high, how many channels, and which pixels.

    What comes out is a JPEG of that size.
    """
    width, height = (1 + int.from_bytes(content[at : at + 2].ljust(2, b"\0")) % 3000 for at in (0, 2))
    channels = 3 if content[4:5] < b"\x80" else 1
    factory = JpegFactory(JpegSettings(quality=1 + len(content) % 100), load_turbojpeg(""))
    frame = Frame(size=Size(width, height), channels=channels, icc=content[5:] if content[4:5] > b"\xc0" else None)
    pixels = np.resize(np.frombuffer(content or b"\0", np.uint8), (height, width, channels))
    encoder, rows = factory.start(frame), factory.rows(frame)
    parts = [encoder.write(pixels[at : at + rows]) for at in range(0, height, rows)]
    with Image.open(BytesIO(b"".join(parts) + encoder.finish())) as image:
        image.load()
        assert image.size == (width, height)


def _from_file(decoder: Decoder, content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        show(decoder, on_disk(path))


def _along_structure(draw: random.Random, known: Sequence[bytes]) -> bytes:
    return mutated(draw.randrange, known) if draw.random() < 0.6 else scattered(draw, known)


def _of_target(name: str) -> Sequence[bytes]:
    target = next(target for target in structures.TARGETS if target.name == name)
    return [path.read_bytes() for path in sorted(target.folder.glob(f"{SEED}*"))]


def _slides() -> list[bytes]:
    levels = pyramid(tissue(Size(200, 150)), [Size(50, 37)])
    with tempfile.TemporaryDirectory() as folder:
        aperio, plain = Path(folder, "a.svs"), Path(folder, "b.tif")
        write_svs(aperio, levels, tile=80)
        write_tiff(plain, levels, tile=64, compression="adobe_deflate")
        return [aperio.read_bytes(), plain.read_bytes()]


DECODES: Final = {
    decode.name: decode
    for decode in (
        Decode("openjpeg", openjpeg, lambda: _of_target("jp2"), _along_structure),
        Decode("openjph", openjph, lambda: _of_target("htj2k"), _along_structure),
        Decode("openslide", openslide, _slides, scattered),
        Decode(
            "turbojpeg", turbojpeg, lambda: [b"\1\0\2\0\0", b"\0\7\0\x9a\x90abc", b"\0\1\x0b\0\xc1profile"], scattered
        ),
    )
}
