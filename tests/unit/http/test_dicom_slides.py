"""Slides as DICOM folders: one of their files is the identifier, and all of them are the image."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import falcon.testing
import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.sample import pyramid, tissue

from sidecar.plugin import Pixels, Rect, Size, SourceChanged, run_inline
from sidecar.testing.fakes import MemoryBlob, on_disk
from sidecar.testing.reading import read
from tests.unit.http.slide_site import served

STORAGE: Final = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
"""VL Whole Slide Microscopy Image Storage (DICOM PS3.4 B.5)."""
TILE: Final = 256
SIZES: Final = (Size(1000, 700), Size(500, 350))
TILE_WORDS: Final = "3/level0.dcm/256,0,256,256/256,256/0/default.png"


def write(path: Path, pixels: Pixels, kind: str, number: int, millimetres: float) -> None:
    """Write an instance of a slide's series: a level (VOLUME) in tiles, or a LABEL in one (PS3.3 A.32.8)."""
    height, width = pixels.shape[:2]
    rows, columns = (TILE, TILE) if kind == "VOLUME" else (height, width)
    spacing, lens = Dataset(), Dataset()
    spacing.PixelSpacing, spacing.SliceThickness = [millimetres, millimetres], 0.001
    lens.OpticalPathIdentifier, lens.ObjectiveLensPower = "1", "20"
    shared = Dataset()
    shared.PixelMeasuresSequence = pydicom.Sequence([spacing])
    frames = [*_frames(pixels, rows, columns)]
    meta, instance = FileMetaDataset(), UID(f"1.2.826.0.1.3680043.10.1.{number}")
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = STORAGE, instance
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    fields: dict[str, Any] = {
        "SOPClassUID": STORAGE,
        "SOPInstanceUID": instance,
        "StudyInstanceUID": "1.2.826.0.1.3680043.10.2",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.10.3",
        "Modality": "SM",
        "PatientName": "Doe^Jane",
        "ImageType": ["ORIGINAL", "PRIMARY", kind, "NONE"],
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0,
        "NumberOfFrames": len(frames),
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "TotalPixelMatrixColumns": width,
        "TotalPixelMatrixRows": height,
        "TotalPixelMatrixFocalPlanes": 1,
        "DimensionOrganizationType": "TILED_FULL",
        "NumberOfOpticalPaths": 1,
        "SharedFunctionalGroupsSequence": pydicom.Sequence([shared]),
        "OpticalPathSequence": pydicom.Sequence([lens]),
        "PixelData": encapsulate(frames),
    }
    data = Dataset()
    data.file_meta = meta
    for name, value in fields.items():
        setattr(data, name, value)
    data["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def _frames(pixels: Pixels, rows: int, columns: int) -> Iterator[bytes]:
    for y in range(0, pixels.shape[0], rows):
        for x in range(0, pixels.shape[1], columns):
            part = pixels[y : y + rows, x : x + columns]
            whole = np.pad(part, ((0, rows - part.shape[0]), (0, columns - part.shape[1]), (0, 0)), "edge")
            file = io.BytesIO()
            Image.fromarray(whole).save(file, "JPEG", quality=90, subsampling=0)
            yield file.getvalue()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two levels and a label, that stays as it is."""
    folder = tmp_path_factory.mktemp("series")
    for index, pixels in enumerate(pyramid(tissue(SIZES[0]), SIZES[1:])):
        write(folder / f"level{index}.dcm", pixels, "VOLUME", index + 1, 0.0005 * 2**index)
    write(folder / "label.dcm", tissue(Size(200, 120), 2), "LABEL", 9, 0.01)
    return folder


@pytest.fixture
def folder(series: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return shutil.copytree(series, tmp_path / "slide")


def pixels_of(result: falcon.testing.Result) -> Pixels:
    """What a response shows."""
    assert result.status_code == 200, result.text
    with Image.open(io.BytesIO(result.content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", ["level0.dcm", "level1.dcm"])
def test_any_file_of_the_folder(folder: Path, name: str) -> None:
    """Each level's file leads to the whole slide, with OpenSlide's pixels of every level."""
    with openslide.OpenSlide(str(folder / "level0.dcm")) as slide:
        fine = np.asarray(slide.read_region((256, 0), 0, (256, 256)).convert("RGB"))
        coarse = np.asarray(slide.read_region((0, 0), 1, (200, 200)).convert("RGB"))
    with served(f"{folder}/", "openslide") as ask:
        found = ask(f"3/{name}/info.json").json
        assert (found["width"], found["height"]) == (1000, 700)
        assert np.array_equal(pixels_of(ask(f"3/{name}/256,0,256,256/256,256/0/default.png")), fine)
        assert np.array_equal(pixels_of(ask(f"3/{name}/0,0,400,400/200,200/0/default.png")), coarse)


def test_label_properties_and_scale(folder: Path) -> None:
    """The label, the properties that are allowed and the size of a pixel are those of the series."""
    settings = {"associated_images": ("label",), "properties": ("openslide.vendor",), "info_physical_scale": True}
    with openslide.OpenSlide(str(folder / "level0.dcm")) as slide:
        wanted = np.asarray(slide.associated_images["label"].convert("RGB"))
    with served(f"{folder}/", "openslide", **settings) as ask:
        assert np.array_equal(pixels_of(ask("3/level0.dcm;label/full/max/0/default.png")), wanted)
        assert ask("3/level0.dcm/properties.json").json == {"openslide.vendor": "dicom"}
        (service,) = ask("3/level0.dcm/info.json").json["service"]
        assert service["physicalScale"] == 0.0005


def test_another_file_changes(folder: Path) -> None:
    """If another file of the folder changes, the ETag does, and what is shown is of the new one."""
    with served(f"{folder}/", "openslide") as ask:
        before = ask(TILE_WORDS)
        assert "Last-Modified" not in before.headers, "one file's time does not show a change of another"
        whole = "3/level0.dcm/full/500,350/0/default.png"
        old = pixels_of(ask(whole))
        assert ask(TILE_WORDS, **{"If-None-Match": before.headers["ETag"]}).status_code == 304
        write(folder / "level1.dcm", tissue(SIZES[1], 7), "VOLUME", 2, 0.001)
        after = ask(TILE_WORDS, **{"If-None-Match": before.headers["ETag"]})
        assert after.status_code == 200
        assert after.headers["ETag"] != before.headers["ETag"]
        assert not np.array_equal(pixels_of(ask(whole)), old)


@pytest.mark.parametrize("size", [Size(200, 120), Size(2000, 1200)])
def test_another_label_in_its_place(folder: Path, size: Size) -> None:
    """A label that was replaced while it was open is not read: it may be larger than there is room for."""
    decoder, blob = OpenSlideDecoder(load(0), ["dcm"], run_inline), on_disk(folder / "level0.dcm")
    reader = decoder.open_associated(blob, "label")
    assert reader is not None
    write(folder / "label.dcm", tissue(size, 5), "LABEL", 9, 0.01)
    with closing(reader), pytest.raises(SourceChanged):
        read(reader, blob, 0, Rect(0, 0, 8, 8))


def test_from_afar(folder: Path) -> None:
    """A DICOM file without a path is handed over, and the text says why: OpenSlide opens the files of its folder."""
    blob = MemoryBlob("level0.dcm", (folder / "level0.dcm").read_bytes())
    with served(blob, "openslide") as ask:
        found = ask("3/slide.svs/info.json")
    assert found.status_code == 501
    assert "need a mount" in found.text
