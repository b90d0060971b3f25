"""A slide's reader after errors: OpenSlide ends a slide with its first error, other readers of it must not notice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import tifffile
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import Library, Scan, Slide, load
from sidecar_openslide.reader import SlideReader
from sidecar_openslide.sample import pyramid, tissue, write_svs
from sidecar_tiff import holes

from sidecar.plugin import DecodeError, Pixels, Rect, Size, SourceChanged, run_inline
from sidecar.render.one_file import FileBlob
from sidecar.testing.contracts.decoder import read
from sidecar.testing.descriptors import all_come_back
from sidecar.testing.fakes import on_disk

TILE = 240
BROKEN, SOUND = Rect(0, 0, TILE, TILE), Rect(TILE, TILE, TILE, TILE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a slide whose first tile is no JPEG."""
    path = tmp_path / "broken.svs"
    write_svs(path, pyramid(tissue(Size(768, 512)), [Size(192, 128)]))
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        start, length = page.dataoffsets[0], page.databytecounts[0]
    with path.open("r+b") as changed:
        changed.seek(start)
        changed.write(b"\x55" * length)
    return path


@pytest.fixture
def reader(path: Path) -> Iterator[SlideReader]:
    """Provide the slide, opened without a cache of decoded tiles."""
    with closing(OpenSlideDecoder(load(1), ["svs"], run_inline).open(on_disk(path))) as opened:
        yield opened


def pixels(reader: SlideReader, path: Path, region: Rect) -> Pixels:
    """Return the pixels of a region at full resolution."""
    return read(reader, on_disk(path), 0, region)


def test_a_tile_that_fails_spoils_no_other(reader: SlideReader, path: Path) -> None:
    """After the error of a broken tile, the same reader reads other tiles as before, again and again."""
    before = pixels(reader, path, SOUND)
    for _ in range(3):
        with pytest.raises(DecodeError):
            pixels(reader, path, BROKEN)
        assert np.array_equal(pixels(reader, path, SOUND), before)


def test_in_threads(reader: SlideReader, path: Path) -> None:
    """While some threads read a broken tile, every read of a sound one in other threads gives its pixels."""
    before = pixels(reader, path, SOUND)
    barrier = Barrier(4)

    def read_sound() -> int:
        barrier.wait()
        right = 0
        for _ in range(20):
            try:
                right += np.array_equal(pixels(reader, path, SOUND), before)
            except DecodeError:  # it was under way in the very slide that the other read ended
                right += 1
        return right

    def read_broken() -> None:
        barrier.wait()
        for _ in range(20):
            with pytest.raises(DecodeError):
                pixels(reader, path, BROKEN)

    with ThreadPoolExecutor(4) as pool:
        sound = [pool.submit(read_sound) for _ in range(2)]
        broken = [pool.submit(read_broken) for _ in range(2)]
        assert [each.result() for each in sound] == [20, 20]
        assert [each.result() for each in broken] == [None, None]
    assert np.array_equal(pixels(reader, path, SOUND), before)


def test_nothing_stays_open(path: Path) -> None:
    """A reader that has reopened its slide several times leaves no file open once it is closed."""
    decoder = OpenSlideDecoder(load(1), ["svs"], run_inline)

    def use() -> None:
        with closing(decoder.open(on_disk(path))) as opened:
            for _ in range(3):
                with pytest.raises(DecodeError):
                    pixels(opened, path, BROKEN)
                pixels(opened, path, SOUND)

    use()
    with all_come_back():
        use()


def test_another_slide_in_its_place(reader: SlideReader, path: Path) -> None:
    """If another slide is put in the file's place, reading reports it, before an error ended the slide and after."""
    before = pixels(reader, path, SOUND)
    with pytest.raises(DecodeError):
        pixels(reader, path, BROKEN)
    assert np.array_equal(pixels(reader, path, SOUND), before)
    write_svs(path.with_suffix(".new"), pyramid(tissue(Size(768, 512)), [Size(192, 128)]))
    path.with_suffix(".new").replace(path)
    for _ in range(2):
        with pytest.raises(SourceChanged):
            reader.read(reader.window(0, SOUND), (), np.empty((TILE, TILE, 3), np.uint8))


def test_written_to_while_it_is_read(reader: SlideReader, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slide that is overwritten while OpenSlide reads it, its time put back, gives no pixels."""
    status, read_slide = path.stat(), Slide.read

    def overwrite(slide: Slide, level: int, x: int, y: int, size: Size) -> Scan:
        scan = read_slide(slide, level, x, y, size)
        with path.open("r+b") as file:
            file.write(file.read(4)[::-1])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return scan

    monkeypatch.setattr(Slide, "read", overwrite)
    with pytest.raises(SourceChanged):
        reader.read(reader.window(0, SOUND), (), np.empty((TILE, TILE, 3), np.uint8))


def test_folder_swapped_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSlide is not led to another folder that is put in the place of the one in which the slide was found."""
    for name, seed in (("here", 1), ("there", 2)):
        (tmp_path / name).mkdir()
        write_svs(tmp_path / name / "a.svs", pyramid(tissue(Size(300, 200), seed), [Size(75, 50)]))
    here = tmp_path / "here"
    opened_by = Library.open

    def swap(library: Library, path: Path) -> Slide:
        here.rename(tmp_path / "moved")
        here.symlink_to(tmp_path / "there")
        return opened_by(library, path)

    monkeypatch.setattr(Library, "open", swap)
    with pytest.raises(SourceChanged):
        OpenSlideDecoder(load(1), ["svs"], run_inline).open(on_disk(here / "a.svs"))


def test_what_is_held(tmp_path: Path) -> None:
    """A slide of many tiles holds a list of them, one for each read that was under way at once: so does libtiff."""
    path = tmp_path / "giant.svs"
    holes.slide([Size(240 * 400, 240 * 300)]).write(path)
    tiles = 400 * 300
    blob = FileBlob.at(path)
    with closing(OpenSlideDecoder(load(0), ["svs"], run_inline).open(blob)) as reader:
        assert 16 * tiles <= reader.held_bytes <= 17 * tiles
        with reader._open_slide(), reader._open_slide(), reader._open_slide():
            pass
        assert 3 * 16 * tiles <= reader.held_bytes <= 3 * 17 * tiles
