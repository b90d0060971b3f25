"""Slides from afar: rounds of range requests, at an object store and in a file of gigabytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import sidecar_http
from sidecar_http.settings import HttpSettings
from sidecar_tiff import holes, samples, tags
from sidecar_tiff.places import Paging
from sidecar_tiff.reader import TiffReader

from sidecar.plugin import Blob, Buffer, ByteRange, Closing, Config, Malformed, Rect, Size, Unsupported
from sidecar.testing.fakes import MemoryBlob
from sidecar.testing.object_store import ObjectStore
from sidecar.testing.reading import read

BLOCK = 1 << 15
HELD = Paging()


@dataclass
class FarBlob:
    """A far blob of any size that is mostly holes: what is in it, by place, and which blocks have been fetched."""

    size: int
    pieces: Sequence[tuple[int, bytes]]
    name: str = "far.svs"
    etag: str = "v1"
    last_modified: datetime | None = None
    path: Path | None = None
    rounds: list[int] = field(default_factory=list)
    """Bytes that each call had to fetch."""
    kept: set[int] = field(default_factory=lambda: {0})
    """Blocks that are here: the first comes along with finding the object."""

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """As a source does: whole blocks, each fetched once."""
        blocks = {block for start, stop in ranges for block in range(start // BLOCK, -(-stop // BLOCK))}
        if missing := blocks - self.kept:
            self.rounds.append(len(missing) * BLOCK)
            self.kept |= missing
        return [self._bytes(*each) for each in ranges]

    def _bytes(self, start: int, stop: int) -> bytes:
        found = bytearray(stop - start)
        for at, data in self.pieces:
            first, last = max(at, start), min(at + len(data), stop)
            if first < last:
                found[first - start : last - start] = data[first - at : last - at]
        return bytes(found)


def large(sizes: Sequence[Size], tile_bytes: int = 20_000) -> FarBlob:
    """A slide as Aperio writes it, mostly holes."""
    slide = holes.slide(sizes, tile_bytes=tile_bytes)
    return FarBlob(slide.size, slide.pieces)


GIGAPIXELS = [Size(100_000, 80_000), holes.UNTILED, Size(25_000, 20_000), Size(6_250, 5_000), Size(3_125, 2_500)]
ASSOCIATED = [holes.UNTILED, holes.UNTILED]


@contextmanager
def opened(blob: Blob, paging: Paging = HELD) -> Iterator[TiffReader]:
    """The reader under test."""
    with closing(samples.decoder(paging).open(blob)) as reader:
        yield reader


def test_a_slide_of_gigabytes_opens_in_four_rounds() -> None:
    """A slide of 3 GB with seven directories, each behind its tiles: finding it and three more rounds."""
    blob = large([*GIGAPIXELS, *ASSOCIATED])
    assert blob.size > 2_900_000_000
    with opened(blob) as reader:
        assert [level.downsample for level in reader.info.levels] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
        assert reader.held_bytes < 4_000_000
    assert 1 + len(blob.rounds) <= 4
    assert sum(blob.rounds) < 16_000_000


def test_a_tile_takes_one_round() -> None:
    """Every window of every level takes one round more, and no more bytes than its tiles have."""
    blob = large([*GIGAPIXELS, *ASSOCIATED])
    with opened(blob) as reader:
        for index, level in enumerate(reader.info.levels[:8]):
            before = len(blob.rounds)
            window = reader.window(index, Rect(level.size.width // 2, level.size.height // 2, 200, 180))
            assert len(blob.rounds) == before
            assert sum(each.length for each in window.ranges) <= len(window.ranges) * 200_000
            blob.read(window.ranges)
            assert len(blob.rounds) <= before + 1
            tile = reader.encoded_tile(index, Rect(240, 240, 240, 240))
            assert len(blob.rounds) <= before + 1
            assert (tile is not None) == (level.grid is not None and level.grid.width == 240)


@pytest.mark.parametrize("paging", [HELD, Paging(whole=0, page=3)], ids=["held", "paged"])
def test_from_a_server(tmp_path: Path, paging: Paging) -> None:
    """Over HTTP, without a mount: the pixels are those of the file, and only ranges are asked for."""
    path = samples.aperio(tmp_path, samples.CODINGS[0], Size(1500, 1200))
    local = MemoryBlob(path.name, path.read_bytes())
    with ObjectStore({f"slides/{path.name}": local.content}) as store:
        given = HttpSettings.model_validate({"url_prefix": f"{store.url}/slides/"})
        (source,) = sidecar_http.register_sources(Config.of(given))
        blob = source.find(path.name)
        assert blob is not None
        with opened(blob, paging) as reader, opened(local) as near:
            region = Rect(300, 200, 500, 400)
            found = read(reader, blob, 0, region)
            assert np.array_equal(found, read(near, local, 0, region))
        assert all("range" in request.headers for request in store.requests)
        assert isinstance(source, Closing)
        source.close()


def test_lists_of_millions_of_tiles_stay_in_the_file() -> None:
    """A slide of 48 GB in 2.4 million tiles opens in as many rounds as others, and a window takes one more, once."""
    blob = large([Size(240 * 2000, 240 * 1200), holes.UNTILED, Size(30_000, 18_000), Size(7_500, 4_500)])
    with opened(blob) as reader:
        assert 1 + len(blob.rounds) <= 4
        assert sum(blob.rounds) < 16_000_000
        assert reader.held_bytes < 1_000_000
        for column, rounds in ((1000, 2), (1010, 1), (1020, 1), (1010, 0)):
            before, bytes_before = len(blob.rounds), sum(blob.rounds)
            blob.read(reader.window(0, Rect(column * 240, 600 * 240, 480, 240)).ranges)
            assert len(blob.rounds) - before == rounds, column
            assert sum(blob.rounds) - bytes_before < 400_000
        assert reader.held_bytes < 1_000_000


def test_a_list_of_all_too_many_tiles() -> None:
    """A directory that claims more tiles than a file can have, or a list that leads out of it, is refused unread."""
    blob = large([Size(240 * 600, 240 * 500)], tile_bytes=100)
    (at, directory) = max(blob.pieces, key=lambda piece: len(piece[1]))
    for count, error in ((2**33, Unsupported), (2**30, Malformed)):
        places = directory.index(struct.pack("<HHQ", tags.TILE_OFFSETS, 16, 600 * 500)) + 4
        broken = directory[:places] + struct.pack("<Q", count) + directory[places + 8 :]
        far = FarBlob(blob.size, [piece for piece in blob.pieces if piece[0] != at] + [(at, broken)])
        with pytest.raises(error):
            samples.decoder().open(far)
        assert sum(far.rounds) < 8_000_000


def test_an_end_that_is_full_of_directories() -> None:
    """What looks like directories at the end of a file is looked at in a few places only, and not believed."""
    blob = large([*GIGAPIXELS, *ASSOCIATED])
    looks_like_one = (1).to_bytes(8, "little") + bytes.fromhex("fe00040001000000000000000000000000000000")
    full = FarBlob(blob.size + (1 << 20), [*blob.pieces, (blob.size, looks_like_one * ((1 << 20) // 28))])
    with opened(full) as reader:
        assert len(reader.info.levels) == 9


def test_many_directories() -> None:
    """A long chain of directories, each far from the next, is given up."""
    blob = large([Size(240, 240)] * 70)
    with pytest.raises(Unsupported, match="64"):
        samples.decoder().open(blob)


def test_a_directory_outside_the_file() -> None:
    """A chain that leads out of the file is broken, whatever hints there are."""
    blob = large([Size(480, 240)])
    with pytest.raises(Malformed):
        samples.decoder().open(FarBlob(blob.size - 200, blob.pieces))
