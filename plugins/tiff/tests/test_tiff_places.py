"""Lists of tiles that stay in the file: windows, pixels and errors are those of lists that are held."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sidecar_openslide.sample import Tile, write_tiff
from sidecar_tiff import samples, tags
from sidecar_tiff.directory import Entry, Form, form_of
from sidecar_tiff.places import HeldTiles, Lists, LongList, PagedTiles, Pages, Paging, Part
from sidecar_tiff.testing import Making

from sidecar.plugin import (
    Buffer,
    ByteRange,
    DecodeError,
    Rect,
    SidecarError,
    Size,
    SourceChanged,
    SourceError,
    Unsupported,
)
from sidecar.testing.fakes import LostBlob, MemoryBlob, WrappedBlob, on_disk
from sidecar.testing.reading import fetched, pixels_of, read

CODES: Final = {3: "u2", 4: "u4", 16: "u8"}
"""Types of lists: SHORT, LONG, LONG8."""
MAGIC: Final = {"<": b"II*\0" + bytes(12), ">": b"MM\0*" + bytes(12)}
SIZE: Final = Size(1900, 1500)
"""Eight tiles of 240 across, seven down; at 1:4 two and two."""
TINY: Final = Paging(whole=0, page=3, kept_bytes=1000)
"""Lists of any length stay in the file, and hardly any page is kept."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a folder in which slides are made once."""
    return tmp_path_factory.mktemp("slides")


def form(order: str) -> Form:
    """The form of a classic file."""
    found = form_of(MAGIC[order])
    assert found is not None
    return found


@given(
    order=st.sampled_from("<>"),
    kinds=st.tuples(st.sampled_from([*CODES]), st.sampled_from([*CODES])),
    lengths=st.lists(st.integers(0, 200), min_size=1, max_size=90),
    page=st.integers(1, 100),
    kept=st.integers(0, 2000),
    data=st.data(),
)
@settings(max_examples=150, deadline=None, database=None, derandomize=True)
def test_lists_of_every_type(
    order: str, kinds: tuple[int, int], lengths: list[int], page: int, kept: int, data: st.DataObject
) -> None:
    """Whatever numbers a list is made of, and however long pages are, tiles lie where the whole list has them."""
    places = [7 * index % 60_000 for index in range(len(lengths))]
    content, entries = bytes(5), []
    for kind, values in zip(kinds, (places, lengths), strict=True):
        numbers = np.array(values, order + CODES[kind]).tobytes()
        entries.append(Entry(kind, len(values), ByteRange(len(content), len(content) + len(numbers))))
        content += numbers
    blob = MemoryBlob("a.tif", content + bytes(61_000))
    nothing = np.empty(0, np.uint32)
    lists = Lists(*(LongList(entry, form(order), nothing) for entry in entries))
    pages = Pages(blob, Paging(page=page, kept_bytes=kept))
    paged = PagedTiles(lists, pages, longest=200, complete=False)
    held = HeldTiles(Part(np.array(places, np.uint32), np.array(lengths, np.uint32)))
    for _ in range(3):
        wanted = sorted(data.draw(st.sets(st.integers(0, len(lengths) - 1))))
        assert paged.places(wanted) == held.places(wanted)
        assert pages.nbytes <= kept
    parts = [*pages.parts(lists, page)]
    assert [number for part in parts for number in part.places.tolist()] == places
    assert [number for part in parts for number in part.lengths.tolist()] == lengths


def _sparse(folder: Path) -> Path:
    path = folder / "sparse.tif"
    if not path.exists():
        write_tiff(path, samples.levels(SIZE), tile=240, missing={Tile(0, 0, 0), Tile(0, 5, 4), Tile(1, 1, 1)})
    return path


SLIDES: Final = {
    "aperio": lambda folder: samples.aperio(folder, samples.CODINGS[1], SIZE),
    "big": lambda folder: samples.plain(folder, Making(), SIZE),
    "missing": _sparse,
}


@pytest.mark.parametrize("slide", SLIDES)
@pytest.mark.parametrize("far", [False, True])
def test_the_same_windows_and_pixels(folder: Path, slide: str, *, far: bool) -> None:
    """A slide whose lists stay in the file shows what it shows if they are held, in any window of any level."""
    blob = on_disk(SLIDES[slide](folder))
    blob = replace(blob, path=None) if far else blob
    whole = samples.decoder().open(blob)

    @given(page=st.integers(1, 60), room=st.sampled_from([0, 0, 5]), data=st.data())
    @settings(max_examples=12, deadline=None, database=None, derandomize=True)
    def law(page: int, room: int, data: st.DataObject) -> None:
        paging = Paging(whole=room, page=page, kept_bytes=data.draw(st.sampled_from([0, 600, 1 << 20])))
        with closing(samples.decoder(paging).open(blob)) as paged:
            assert [level.size for level in paged.info.levels] == [level.size for level in whole.info.levels]
            for _ in range(2):
                index = data.draw(st.integers(0, len(whole.info.levels) - 1))
                size = whole.info.levels[index].size
                x, y = data.draw(st.integers(0, size.width - 1)), data.draw(st.integers(0, size.height - 1))
                region = Rect(
                    x, y, data.draw(st.integers(1, size.width - x)), data.draw(st.integers(1, size.height - y))
                )
                window = paged.window(index, region)
                assert window == whole.window(index, region)
                wanted = read(whole, blob, index, region)
                assert np.array_equal(pixels_of(paged, window, fetched(blob, window)), wanted)
            tile = Rect(240, 240, 240, 240)
            assert paged.encoded_tile(0, tile) == whole.encoded_tile(0, tile)

    law()


def test_what_is_held(folder: Path) -> None:
    """However much is looked at, no more pages are kept than may be."""
    blob = _far(samples.aperio(folder, samples.CODINGS[1], SIZE).read_bytes())
    with closing(samples.decoder(TINY).open(blob)) as reader:
        before = reader.held_bytes
        for x in range(0, 1900, 200):
            reader.window(0, Rect(x, 0, 1, SIZE.height))
        assert before < reader.held_bytes <= before + TINY.kept_bytes


def _far(content: bytes) -> MemoryBlob:
    return MemoryBlob("a.svs", content)


def _with(content: bytes, tag: int, number: int, value: int) -> bytes:
    """Return a classic file with another number in a list of its first directory."""
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    for at in range(first + 2, first + 2 + 12 * count, 12):
        found, kind, _, place = struct.unpack_from("<HHII", content, at)
        if found == tag:
            assert kind == 4
            changed = bytearray(content)
            struct.pack_into("<I", changed, place + 4 * number, value)
            return bytes(changed)
    raise AssertionError(tag)


HOSTILE: Final = {
    "outside": (tags.TILE_OFFSETS, 2**31, DecodeError),
    "ends outside": (tags.TILE_OFFSETS, -100, DecodeError),
    "too long": (tags.TILE_BYTES, 5 * 240 * 240 + 2**16, DecodeError),
    "missing": (tags.TILE_BYTES, 0, Unsupported),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_lists(folder: Path, tmp_path: Path, what: str) -> None:
    """A tile outside the file, or longer than tiles are, is an error: of its windows alone if nobody looked before."""
    tag, value, error = HOSTILE[what]
    # As much behind the tiles as they are long, so that too long a tile lies in the file.
    whole = samples.aperio(folder, samples.CODINGS[1], SIZE).read_bytes() + bytes(400_000)
    content = _with(whole, tag, 19, value % len(whole) if value < 0 else value)
    tile, other = Rect(3 * 240, 2 * 240, 240, 240), Rect(4 * 240, 2 * 240, 240, 240)
    with closing(samples.decoder(TINY).open(_far(content))) as reader:
        for asked in (reader.window, reader.encoded_tile):
            with pytest.raises(error):
                asked(0, tile)
        assert reader.window(0, other).ranges
    path = tmp_path / "hostile.svs"
    path.write_bytes(content)
    for paging, blob in ((TINY, on_disk(path)), (Paging(), on_disk(path)), (Paging(), _far(content))):
        with pytest.raises(Unsupported):
            samples.decoder(paging).open(blob)


def test_lists_of_another_length(folder: Path) -> None:
    """Lists that are not as long as a level has tiles are refused before they are read."""
    content = samples.aperio(folder, samples.CODINGS[1], SIZE).read_bytes()
    (first,) = struct.unpack_from("<I", content, 4)
    at = content.index(struct.pack("<HHI", tags.TILE_BYTES, 4, 56), first)
    changed = content[: at + 4] + struct.pack("<I", 55) + content[at + 8 :]
    with pytest.raises(Unsupported, match="56 places and 55 lengths"):
        samples.decoder(TINY).open(_far(changed))


@dataclass(frozen=True, slots=True)
class _Failing(WrappedBlob):
    """A blob that cannot be read any more once `ended`."""

    ended: list[SidecarError]

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        for error in self.ended:
            raise error
        return self.found.read(ranges)


@pytest.mark.parametrize("error", [SourceError("gone"), SourceChanged("another")])
def test_pages_that_cannot_be_read(folder: Path, error: SourceError) -> None:
    """A page that cannot be read is the storage's error, and nothing is kept of it: later it may be there."""
    blob = _Failing(_far(samples.aperio(folder, samples.CODINGS[1], SIZE).read_bytes()), [])
    with closing(samples.decoder(TINY).open(blob)) as reader:
        blob.ended.append(error)
        with pytest.raises(type(error)):
            reader.window(0, Rect(0, 0, 500, 500))
        blob.ended.clear()
        assert len(reader.window(0, Rect(0, 0, 480, 480)).ranges) == 4
    with pytest.raises(SourceChanged):
        samples.decoder(TINY).open(LostBlob(blob))


@pytest.mark.parametrize("far", [False, True])
def test_what_it_says_of_them(folder: Path, *, far: bool) -> None:
    """Facts have the longest tile, and how many were not scanned, if the lists were looked through; else the bound."""
    blob = on_disk(_sparse(folder))
    with closing(samples.decoder(TINY).open(replace(blob, path=None) if far else blob)) as reader:
        facts = {fact.name: fact.value for fact in reader.facts()}
    if far:
        assert facts["tiles that were not scanned"] == "not counted: their list stays in the file"
        assert facts["longest tile in bytes"] == f"at most {4 * 240 * 240 + 2**16}"
    else:
        with closing(samples.decoder().open(blob)) as held:
            assert facts == {fact.name: fact.value for fact in held.facts()}
        assert facts["tiles that were not scanned"]
