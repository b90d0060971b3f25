"""The sizes of a Zeiss slide's tiles, in files that OpenSlide itself opens."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.czi import largest_subblock
from sidecar_openslide.library import load

from sidecar.plugin import Malformed, Rect, Size, Unsupported, run_inline
from sidecar.testing.contracts.decoder import read
from sidecar.testing.fakes import MemoryBlob, on_disk

XML = (
    b"<ImageDocument><Metadata><Information><Image><SizeX>%d</SizeX><SizeY>%d</SizeY><SizeS>1</SizeS>"
    b"<ComponentBitCount>8</ComponentBitCount></Image></Information></Metadata></ImageDocument>"
)
Dimensions = Sequence[tuple[bytes, int, int]]


def segment(name: bytes, content: bytes) -> bytes:
    """A segment of a file."""
    return struct.pack("<16sqq", name, len(content), len(content)) + content


def entry(dimensions: Dimensions, position: int = 0) -> bytes:
    """The description of a subblock of BGR24, not compressed, by (name, start, size)."""
    head = struct.pack("<2siqiib5xi", b"DV", 3, position, 0, 0, 0, len(dimensions))
    return head + b"".join(struct.pack("<4siifi", name, start, size, 0.0, size) for name, start, size in dimensions)


def plain(x: int, y: int, width: int, height: int) -> Dimensions:
    """A subblock as most files have them."""
    return [(b"X", x, width), (b"Y", y, height), (b"C", 0, 1), (b"M", 0, 1)]


def czi(subblocks: Sequence[Dimensions], size: Size) -> bytes:
    """A file whose subblocks share the pixels of the first."""
    first = {name: length for name, _, length in subblocks[0]}
    pixels = bytes(range(256)) * (first[b"X"] * first[b"Y"] * 3 // 256 + 1)
    xml = XML % (size.width, size.height)
    at_meta = 32 + 512
    meta = segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(xml), 0) + xml)
    at_block = at_meta + len(meta)
    described = entry(subblocks[0], at_block)
    data = pixels[: first[b"X"] * first[b"Y"] * 3]
    block = segment(b"ZISRAWSUBBLOCK", (struct.pack("<iiq", 0, 0, len(data)) + described).ljust(256, b"\0") + data)
    at_directory = at_block + len(block)
    entries = b"".join(entry(each, at_block) for each in subblocks)
    directory = segment(b"ZISRAWDIRECTORY", struct.pack("<i124x", len(subblocks)) + entries)
    attachments = segment(b"ZISRAWATTDIR", struct.pack("<i252x", 0))
    places = (at_directory, at_meta, 0, at_directory + len(directory))
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"a" * 16, b"a" * 16, 0, *places)
    return segment(b"ZISRAWFILE", header.ljust(512, b"\0")) + meta + block + directory + attachments


def test_a_slide_that_openslide_reads(tmp_path: Path) -> None:
    """A file by our hand is a Zeiss slide to OpenSlide too; its tile is counted whole, and shown."""
    path = tmp_path / "a.czi"
    path.write_bytes(czi([plain(0, 0, 300, 200)], Size(300, 200)))
    with closing(OpenSlideDecoder(load(0), ["czi"], run_inline).open(on_disk(path))) as reader:
        assert reader.info.levels[0].fixed_bytes >= 4 * 300 * 200
        shown = read(reader, on_disk(path), 0, Rect(0, 0, 300, 200))
    wanted = np.resize(np.arange(256, dtype=np.uint8), 300 * 200 * 3).reshape(200, 300, 3)[..., ::-1]
    assert np.array_equal(shown, wanted)


def test_giant_subblock(tmp_path: Path) -> None:
    """A subblock with more pixels than the limit is refused, though it is one of many and OpenSlide takes the file."""
    path = tmp_path / "a.czi"
    path.write_bytes(czi([plain(0, 0, 30, 20), plain(30, 0, 16384, 16384)], Size(16414, 16384)))
    load(0).open(path).close()
    with pytest.raises(Malformed, match="16384 x 16384"):
        OpenSlideDecoder(load(0), ["czi"], run_inline).open(on_disk(path))


@pytest.mark.parametrize(
    "subblocks, size",
    [
        ([plain(0, 0, 3, 2), plain(0, 0, 5, 4), plain(0, 0, 4, 4)], Size(5, 4)),
        ([plain(0, 0, 3, 2), plain(0, 0, 5, 4)[:2], plain(0, 0, 9, 1)], Size(5, 4)),
        ([[(b"X\0Z", 0, 7), (b"Y", 0, 8), (b"XY", 0, 99)]], Size(7, 8)),
        ([plain(0, 0, 3, 2), plain(0, 0, 70_000, 70_000)], Size(70_000, 70_000)),
        ([[(b"X", 0, 3), (b"Y", 0, -1)]], Size(3, 2**32 - 1)),
    ],
)
def test_sizes(subblocks: Sequence[Dimensions], size: Size) -> None:
    """The largest subblock counts, with descriptions of one length and of several."""
    content = czi([plain(0, 0, 1, 1)], Size(1, 1))
    entries = b"".join(map(entry, subblocks))
    place = content.rindex(b"ZISRAWDIRECTORY")
    directory = segment(b"ZISRAWDIRECTORY", struct.pack("<i124x", len(subblocks)) + entries)
    assert largest_subblock(MemoryBlob("a.czi", content[:place] + directory)) == size


def test_other_files() -> None:
    """What is no Zeiss file has no subblocks."""
    assert largest_subblock(MemoryBlob("a.czi", b"")) is None
    assert largest_subblock(MemoryBlob("a.czi", b"II*\0" * 100)) is None


@pytest.mark.parametrize("cut", [20, 91, 700, -300])
def test_cut_files(cut: int) -> None:
    """A file that ends before its directory does is malformed."""
    with pytest.raises(Malformed):
        largest_subblock(MemoryBlob("a.czi", czi([plain(0, 0, 3, 2)], Size(3, 2))[:cut]))


def test_many_unlike_subblocks() -> None:
    """Thousands of descriptions of unlike lengths are not walked one by one."""
    content = czi([plain(0, 0, 1, 1), *[plain(0, 0, 1, 1)[:2]] * 5000], Size(1, 1))
    with pytest.raises(Unsupported):
        largest_subblock(MemoryBlob("a.czi", content))
