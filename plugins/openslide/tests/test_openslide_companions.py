"""Slides of several files: OpenSlide is led out of the folder by none of them, and notices a change of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.companions import SlideFiles
from sidecar_openslide.library import load

from sidecar.plugin import LocalFile, Malformed, Pixels, Rect, SourceChanged, Unsupported, run_inline
from sidecar.testing.contracts.decoder import read
from sidecar.testing.fakes import on_disk

RED, GREEN = (200, 30, 30), (30, 200, 30)
DICOM = bytes(128) + b"DICM"


def photograph(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (1024, 768)) -> None:
    """A JPEG with a restart marker for each row of MCUs, as Hamamatsu's."""
    Image.new("RGB", size, colour).save(path, quality=95, restart_marker_rows=1, subsampling=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a green photograph, and a stranger's red one beside the folder."""
    (tmp_path / "images").mkdir()
    photograph(tmp_path / "images" / "map.jpg", GREEN, (128, 96))
    photograph(tmp_path / "images" / "own.jpg", GREEN)
    photograph(tmp_path / "stranger.jpg", RED)
    return tmp_path / "images"


def vms(root: Path, image: str, end: str = "") -> Path:
    """A slide of Hamamatsu that shows an image."""
    text = "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nMapFile=map.jpg\n"
    (root / "slide.vms").write_text(f"{text}ImageFile={image}{end}\n")
    return root / "slide.vms"


def shown(path: Path) -> Pixels:
    """Some pixels of a slide."""
    with closing(OpenSlideDecoder(load(0), ["vms"], run_inline).open(on_disk(path))) as reader:
        return read(reader, on_disk(path), 0, Rect(0, 0, 8, 8))


def test_companions_in_the_folder(root: Path) -> None:
    """A slide whose files are all in its folder is shown, pixels as Pillow decodes them."""
    assert np.array_equal(shown(vms(root, "own.jpg")), np.asarray(Image.open(root / "own.jpg"))[:8, :8])


@pytest.mark.parametrize(
    "name", ["../stranger.jpg", "./../stranger.jpg", "  ../stranger.jpg ", "{root}/../stranger.jpg", "a/b.jpg", ".."]
)
def test_names_that_lead_out(root: Path, name: str) -> None:
    """A name with a slash in it, however it is spelled, is refused for good."""
    with pytest.raises(Malformed, match="outside its folder"):
        shown(vms(root, name.format(root=root)))


def _link(root: Path) -> str:
    (root / "link.jpg").symlink_to(root.parent / "stranger.jpg")
    return "link.jpg"


def _escaped(root: Path) -> str:
    (root / "a b.jpg").symlink_to(root.parent / "stranger.jpg")
    return "a\\sb.jpg"


def _spaces(root: Path) -> str:
    (root / "link.jpg ").symlink_to(root.parent / "stranger.jpg")
    return " link.jpg "


def _fifo(root: Path) -> str:
    os.mkfifo(root / "fifo.jpg")
    return "fifo.jpg"


@pytest.mark.parametrize("make", [_link, _escaped, _spaces, _fifo])
def test_companions_that_are_no_files(root: Path, make: Callable[[Path], str]) -> None:
    """A link out of the folder is not followed and a FIFO is not waited for, also under an escaped name."""
    with pytest.raises(Unsupported):
        shown(vms(root, make(root)))


@pytest.mark.parametrize(
    "line",
    ["ImageFile(1,0)=../x", " MapFile =../x", "MacroImage=../x", "OptimisationFile=/x", "\tImageFile=a/../../x\r"],
)
def test_every_key_that_names_a_file(root: Path, line: str) -> None:
    """Each key of a VMS file by which OpenSlide opens files is looked at, with spaces around it too."""
    with pytest.raises(Malformed):
        shown(vms(root, "own.jpg", f"\n{line}"))


@pytest.mark.parametrize("change", ["replaced", "written to"])
def test_companion_that_changes(root: Path, change: str) -> None:
    """A slide is not read on if one of its other files is replaced or written to, its time put back."""
    path, other = vms(root, "own.jpg"), root / "own.jpg"
    status = other.stat()
    with closing(OpenSlideDecoder(load(0), ["vms"], run_inline).open(on_disk(path))) as reader:
        read(reader, on_disk(path), 0, Rect(0, 0, 8, 8))
        photograph(root / "fresh.jpg", RED)
        if change == "replaced":
            (root / "fresh.jpg").replace(other)
        else:
            other.write_bytes((root / "fresh.jpg").read_bytes())
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(SourceChanged):
            read(reader, on_disk(path), 0, Rect(0, 0, 8, 8))


def files(path: Path) -> SlideFiles:
    """The files that belong to a slide."""
    main = LocalFile.find(str(path.parent), str(path))
    assert main is not None
    return SlideFiles.find(main)


@pytest.fixture
def mirax(root: Path) -> Path:
    """A slide of MIRAX, as far as names go."""
    (root / "slide").mkdir()
    for name, content in (("Data0000.dat", "data"), ("Index.dat", "index")):
        (root / "slide" / name).write_text(content)
    (root / "slide" / "Slidedat.ini").write_text(
        "\ufeff[GENERAL]\nSLIDE_NAME = a/b\n[HIERARCHICAL]\nINDEXFILE = Index.dat\r\n"
        "[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n"
    )
    (root / "slide.mrxs").write_text("main")
    return root / "slide.mrxs"


def test_files_of_mirax(mirax: Path) -> None:
    """The folder of a MIRAX slide, its list and the files named there belong to it."""
    assert {file.parts[-1] for file in files(mirax).others} == {"slide", "Slidedat.ini", "Index.dat", "Data0000.dat"}


@pytest.mark.parametrize("line", ["FILE_0 = ../../stranger.jpg", "INDEXFILE=/etc/hostname", "FILE_12 = a/b"])
def test_mirax_names_that_lead_out(mirax: Path, line: str) -> None:
    """A name in Slidedat.ini that leads out of the slide's folder is refused for good."""
    (mirax.parent / "slide" / "Slidedat.ini").write_text(f"[DATAFILE]\n{line}\n")
    with pytest.raises(Malformed):
        files(mirax)


@pytest.mark.parametrize("name", ["Data0000.dat", "Slidedat.ini", ""])
def test_mirax_links(mirax: Path, name: str) -> None:
    """Neither the folder nor a file in it may be a link."""
    part = mirax.parent / "slide" / name
    part.rename(mirax.parent.parent / "moved")
    part.symlink_to(mirax.parent.parent / "moved")
    with pytest.raises(Unsupported):
        files(mirax)


def test_files_of_dicom(root: Path) -> None:
    """All files of the folder may belong to a DICOM slide; one that is a link leads nowhere."""
    (root / "a.dcm").write_bytes(DICOM)
    (root / "folder").mkdir()
    assert {file.name for file in files(root / "a.dcm").others} == {"map.jpg", "own.jpg"}
    (root / "b.dcm").symlink_to(root.parent / "stranger.jpg")
    with pytest.raises(Unsupported):
        files(root / "a.dcm")


@pytest.mark.parametrize(
    "name, head, beside", [("a.tif", b"II*\0", "a.Full"), ("a.svslide", b"SQLite format 3\0", "a.svslide-wal")]
)
def test_single_files(root: Path, name: str, head: bytes, beside: str) -> None:
    """What OpenSlide or SQLite would open beside a single file must be a file too."""
    (root / name).write_bytes(head)
    assert files(root / name).others == ()
    os.mkfifo(root / beside)
    with pytest.raises(Unsupported):
        files(root / name)
