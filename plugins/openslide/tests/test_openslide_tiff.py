"""The reading of TIFF directories, beside tifffile and by hand-made files."""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from sidecar_openslide import tiff

from sidecar.plugin import Malformed, Unsupported
from sidecar.testing.fakes import MemoryBlob

TILES = {256, 257, 259, 278, 279, 322, 323, 325}
"""Tags of sizes and of bytes."""


def directories(content: bytes) -> list[dict[int, tuple[int, ...]]]:
    """What the module reads, as plain values."""
    structure = tiff.recognise(MemoryBlob("a.tif", content))
    assert structure is not None
    return [{tag: tuple(values) for tag, values in directory.items()} for directory in structure.directories()]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_directories_are_those_of_tifffile(order: Literal["<", ">"], *, big: bool) -> None:
    """Each directory says the same of its samples, in classic and big files of either byte order."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        for pixels in (np.zeros((50, 70, 3), np.uint8), np.zeros((5, 7), np.uint16), np.zeros((9, 9, 4), np.uint8)):
            photometric = "rgb" if pixels.ndim == 3 else "minisblack"
            writer.write(pixels, photometric=photometric, metadata=None)
        writer.write(
            np.arange(100 * 90 * 3, dtype=np.uint8).reshape(100, 90, 3),
            tile=(32, 16),
            compression="zlib",
            metadata=None,
        )
    known = {258, 262, 277, 339, *TILES}
    wanted = []
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as read:
        for page in read.pages:
            values = {tag.code: tag.value for tag in page.aspage().tags if tag.code in known}
            each = {code: value if isinstance(value, tuple) else (value,) for code, value in values.items()}
            wanted.append(each | {code: (max(each[code]),) for code in {279, 325} & each.keys()})
    assert [{tag: each[tag] for tag in each.keys() & known} for each in directories(file.getvalue())] == wanted


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    """An entry of a classic little-endian directory."""
    return struct.pack("<HHII", tag, kind, count, value)


def classic(first: int, *parts: bytes) -> bytes:
    """A classic little-endian file."""
    return struct.pack("<4sI", b"II*\0", first) + b"".join(parts)


@pytest.mark.parametrize(
    "content",
    [
        classic(0),
        classic(8),
        classic(8, b"\1"),
        classic(8, b"\0\0", b"\0" * 4),
        classic(8, b"\1\0", entry(262, 3, 1, 2)),
        classic(8, b"\1\0", entry(262, 3, 1, 2), struct.pack("<I", 8)),
        classic(8, b"\1\0", entry(262, 3, 1, 2), struct.pack("<I", 999)),
        classic(8, b"\1\0", entry(258, 3, 3, 999), b"\0" * 4),
        classic(8, b"\2\0", entry(262, 3, 1, 2), b"\0" * 4),
        b"II*\0",
        struct.pack("<4sHHQQ", b"II+\0", 8, 0, 16, 2**60),
        struct.pack("<4sHHQQ", b"II+\0", 8, 0, 16, 65536) + b"\0" * (65536 * 20 + 8),
        struct.pack("<4sHHQ", b"II+\0", 8, 0, 2**63),
    ],
    ids=range(13),
)
def test_broken_directories(content: bytes) -> None:
    """Chains that end outside the file, run in circles, are empty or claim the impossible are malformed."""
    with pytest.raises(Malformed):
        directories(content)


def test_long_chains_are_not_walked_to_the_end() -> None:
    """After 256 directories a chain is taken for sound, so that no file keeps the worker busy."""
    size = 2 + 12 + 4
    chain = [
        struct.pack("<H", 1) + entry(262, 3, 1, 2) + struct.pack("<I", 8 + (number + 1) * size) for number in range(300)
    ]
    assert directories(classic(8, *chain)) == [{262: (2,)}] * 256


@pytest.mark.parametrize("count", [0, 3, 2**20 + 1, 2**32 - 1])
def test_lists_that_are_none(count: int) -> None:
    """A list of tiles that is empty or leaves the file is malformed, however long it claims to be."""
    with pytest.raises(Malformed):
        directories(classic(8, b"\1\0", entry(tiff.TILE_BYTES, 4, count, 20), b"\0" * 4))


def test_lists_that_are_too_long() -> None:
    """A list of more than a million tiles that is there is no fault of the file: another program may take it."""
    count = 2**20 + 1
    with pytest.raises(Unsupported, match=f"{count} tiles"):
        directories(classic(8, b"\1\0", entry(tiff.TILE_BYTES, 4, count, 26), b"\0" * 4, bytes(4 * count)))


@pytest.mark.parametrize("content", [b"", b"I", b"II*", b"MM*\0", b"II\0*", b"\x89PNG", b"PK\3\4"])
def test_other_files(content: bytes) -> None:
    """What does not begin as a TIFF is none."""
    assert tiff.recognise(MemoryBlob("a.tif", content)) is None


@given(content=st.binary(max_size=200), magic=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]))
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
def test_any_bytes(content: bytes, magic: bytes) -> None:
    """Whatever follows the first bytes, it is a chain of directories or malformed."""
    try:
        found = directories(magic + content)
    except Malformed:
        return
    assert found
