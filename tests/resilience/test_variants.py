"""The law over variants of small files: what plain OpenJPEG decodes is answered with those pixels or handed over."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageCms
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import box, cdef, cmap, colr, ihdr, jp2, pclr, picture, profile

from sidecar.errors import HandOver, Refusal
from sidecar.plugin import Pixels, Rect, run_inline
from sidecar.testing.fakes import MemoryBlob, on_disk
from sidecar.testing.reading import read
from tests.resilience.collections import judge, plain
from tests.resilience.variants import variants

SIZE = (70, 50)
TILE = 40
ENTRIES = [(index, 255 - index, index // 2) for index in range(256)]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES = {
    "tiles": lambda: jp2(picture(SIZE, "-t", f"{TILE},{TILE}", "-n", "3"), ihdr(3, SIZE), colr(16)),
    "packet lengths": lambda: jp2(picture(SIZE, "-n", "3", "-p", "RPCL", "-PLT", "-TLM"), ihdr(3, SIZE), colr(16)),
    "palette": lambda: jp2(
        picture(SIZE, "-n", "2", steps=((1, 1),)),
        *(ihdr(1, SIZE), colr(16), pclr(ENTRIES, (8, 8, 8)), cmap((0, 1, 0), (0, 1, 1), (0, 1, 2))),
    ),
    "opacity": lambda: jp2(
        picture(SIZE, "-n", "2", "-mct", "0", steps=((1, 1),) * 2),
        *(ihdr(2, SIZE), colr(17), cdef((0, 0, 1), (1, 1, 0))),
    ),
    "a profile and metadata": lambda: (
        jp2(picture(SIZE, "-n", "2"), ihdr(3, SIZE), profile(SRGB), box(b"res ", b"")) + box(b"xml ", b"<a/>")
    ),
}


def decoder() -> Jp2Decoder:
    """Return a decoder with an index of its own; opacity is left out, as in opj_decompress's BMP."""
    return Jp2Decoder(
        OpenJpeg(bind()), alpha=False, extractors=partial(IndexedExtractor, IndexCache(run_inline, 1 << 20))
    )


def whole(path: Path) -> Pixels:
    """Return all pixels of a file at full size."""
    blob = on_disk(path)
    reader = decoder().open(blob)
    return read(reader, blob, 0, Rect(0, 0, reader.info.size.width, reader.info.size.height))


@pytest.mark.parametrize("name", FILES)
def test_variants(name: str, tmp_path: Path) -> None:
    """Each variant that OpenJPEG decodes is right or handed over, others too or like the sound file; most are right."""
    sound, changed = tmp_path / "sound.jp2", tmp_path / "changed.jp2"
    sound.write_bytes(FILES[name]())
    right, verdicts, faults = whole(sound), Counter[str](), []
    for title, content in variants(sound.read_bytes()):
        changed.write_bytes(content)
        found = judge(changed)
        verdicts[f"{found.verdict}, {'fails' if found.plain else 'decodes'}"] += 1
        if found.verdict in ("wrong", "stuck") or (found.verdict == "refused" and not found.plain):
            faults.append((title, found))
        if found.plain and found.verdict in ("equal", "windows handed over"):
            try:
                same = np.array_equal(whole(changed), right)
            except HandOver:
                same = True
            if not same:
                faults.append((title, found))
    assert not faults
    assert verdicts["equal, decodes"] > 2 * verdicts["handed over, decodes"], verdicts


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["tiles", "packet lengths", "palette"])
@pytest.mark.parametrize("local", [True, False])
def test_a_lost_end_marker_is_no_fault(name: str, count: int, local: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """If one or both bytes of EOC are lost, every sample is there: all levels are as in the whole file."""
    content = FILES[name]()
    path = tmp_path / "a.jp2"
    path.write_bytes(content[:-count])
    blob = on_disk(path) if local else MemoryBlob("a.jp2", content[:-count])
    sound = MemoryBlob("b.jp2", content)
    expected, reader = decoder().open(sound), decoder().open(blob)
    for level, each in enumerate(expected.info.levels):
        for region in (Rect(0, 0, each.size.width, each.size.height), Rect(each.size.width // 2, 3, 5, 5)):
            np.testing.assert_array_equal(read(reader, blob, level, region), read(expected, sound, level, region))


@pytest.mark.parametrize("local", [True, False])
def test_whole_tiles_of_a_file_cut_short(local: bool, tmp_path: Path) -> None:  # noqa: FBT001  # Pytest passes it
    """Tiles before the cut are those of the whole file; what needs others is handed over, never refused."""
    content = FILES["tiles"]()
    path = tmp_path / "whole.jp2"
    path.write_bytes(content)
    expected = plain(path)
    assert not isinstance(expected, str)
    parts = [at for at in range(len(content)) if content.startswith(b"\xff\x90\0\x0a", at)]
    cuts = [(index, at + more) for index, at in enumerate(parts) if index for more in (0, 1)]
    for tiles, cut in [*cuts, (3, len(content) - 3)]:
        path.write_bytes(content[:cut])
        blob = on_disk(path) if local else MemoryBlob("cut.jp2", content[:cut])
        reader = decoder().open(blob)
        for tile in range(4):
            x, y = tile % 2 * TILE, tile // 2 * TILE
            region = Rect(x, y, min(TILE, SIZE[0] - x), min(TILE, SIZE[1] - y))
            if tile < tiles:
                there = expected[y : y + region.height, x : x + region.width]
                np.testing.assert_array_equal(read(reader, blob, 0, region), there)
            else:
                with pytest.raises(HandOver):
                    read(reader, blob, 0, region)
        with pytest.raises(HandOver):
            read(reader, blob, 0, Rect(0, 0, *SIZE))


def test_only_claims_are_refused(tmp_path: Path) -> None:
    """A file that claims far more tiles or pixels than its bytes can hold is refused, and so is nothing else here."""
    content = bytearray(FILES["palette"]())
    at = content.index(b"\xff\x51") + 6
    content[at : at + 8] = bytes.fromhex("0000ffff0000ffff")
    content[at + 16 : at + 24] = bytes.fromhex("0000ffff0000ffff")
    path = tmp_path / "bomb.jp2"
    path.write_bytes(content)
    with pytest.raises(Refusal):
        decoder().open(on_disk(path))
