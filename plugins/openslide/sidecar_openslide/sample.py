"""Makes slides, for trying the sidecar and for tests: `python -m sidecar_openslide.sample slide.svs`.

Needs tifffile (`pip install iiif-sidecar-openslide[sample]`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
import tifffile
import typer
from numpy.typing import NDArray
from PIL import Image

from sidecar.plugin import Pixels, Size

_GLASS: Final = np.array([243, 243, 246], np.float32)
_EOSIN: Final = np.array([0.15, 0.75, 0.35], np.float32)
_HAEMATOXYLIN: Final = np.array([0.9, 1.1, 0.45], np.float32)
_QUALITY: Final = 85


class Tile(NamedTuple):
    """The place of a tile: its level, and how many tiles from its top and left."""

    level: int
    row: int
    column: int


def tissue(size: Size, seed: int = 1) -> Pixels:
    """Return a picture that looks like stained tissue on glass, (height, width, 3); the same for the same seed.

    Light through two stains, each absorbing by its own density (Beer-Lambert).
    """
    noise = np.random.default_rng(seed)
    y, x = np.ogrid[-1 : 1 : size.height * 1j, -1 : 1 : size.width * 1j]
    outline = 0.75 + 0.5 * (_clouds(noise, size, 5) - 0.5) - np.hypot(x, y)
    cover = np.clip(outline * 20, 0, 1)
    fibres = cover * (0.25 + 0.5 * _clouds(noise, size, size.width // 60) + 0.2 * _clouds(noise, size, size.width // 8))
    nuclei = cover * np.clip((_clouds(noise, size, size.width // 14) - 0.68) * 8, 0, 1)
    density = fibres[..., np.newaxis] * _EOSIN + nuclei[..., np.newaxis] * _HAEMATOXYLIN
    grain = noise.normal(0, 2, (size.height, size.width, 3)).astype(np.float32)
    light: Pixels = np.clip(_GLASS * np.exp(-density) + grain, 0, 255).astype(np.uint8)
    return light


def _clouds(noise: np.random.Generator, size: Size, cells: int) -> NDArray[np.float32]:
    """Return smooth noise from 0 to 1 with so many cells across."""
    rows = max(2, cells * size.height // size.width)
    coarse = Image.fromarray(noise.random((rows, max(2, cells)), np.float32))
    return np.asarray(coarse.resize((size.width, size.height), Image.Resampling.BICUBIC))


def pyramid(picture: Pixels, sizes: Sequence[Size]) -> Sequence[Pixels]:
    """Return the picture, and the same in each size."""
    whole = Image.fromarray(picture)
    reduced = (whole.resize((size.width, size.height), Image.Resampling.BOX) for size in sizes)
    return [picture, *map(np.asarray, reduced)]


def write_tiff(
    path: Path,
    levels: Sequence[Pixels],
    *,
    tile: int = 256,
    compression: Literal["jpeg", "adobe_deflate"] = "jpeg",
    icc: bytes | None = None,
    missing: Collection[Tile] = (),
) -> None:
    """Write a tiled pyramidal TIFF. A missing tile has neither offset nor length, as scanners leave glass out."""
    with tifffile.TiffWriter(path) as writer:
        for index, level in enumerate(levels):
            _write_level(writer, level, tile, compression, icc=icc, reduced=index > 0)
    with tifffile.TiffFile(path, mode="r+") as file:
        for gap in missing:
            page = file.pages[gap.level].aspage()
            place = gap.row * -(-page.imagewidth // tile) + gap.column
            for tag in (page.tags["TileOffsets"], page.tags["TileByteCounts"]):
                tag.overwrite([0 if index == place else value for index, value in enumerate(tag.value)])


def write_svs(
    path: Path,
    levels: Sequence[Pixels],
    *,
    tile: int = 240,
    icc: bytes | None = None,
    label: Pixels | None = None,
    macro: Pixels | None = None,
) -> None:
    """Write levels, finest first, as Aperio does: the thumbnail behind the first, label and macro image last."""
    height, width = levels[0].shape[:2]
    about = (
        f"Aperio Image Library v11.2.1 \r\n{width}x{height} [0,0 {width}x{height}] ({tile}x{tile}) "
        f"JPEG/RGB Q={_QUALITY}|AppMag = 20|MPP = 0.4990"
    )
    thumbnail = Image.fromarray(levels[-1])
    thumbnail.thumbnail((768, 768))
    with tifffile.TiffWriter(path) as writer:
        for index, level in enumerate(levels):
            _write_level(writer, level, tile, "jpeg", icc=icc, description=about)
            if index == 0:
                writer.write(np.asarray(thumbnail), photometric="rgb", description=about, metadata=None)
        strips: Any = {"photometric": "rgb", "rowsperstrip": 16, "metadata": None}
        if label is not None:
            title = f"Aperio Image Library v11.2.1 \r\nlabel {label.shape[1]}x{label.shape[0]}"
            writer.write(label, compression="lzw", predictor=True, subfiletype=1, description=title, **strips)
        if macro is not None:
            title = f"Aperio Image Library v11.2.1 \r\nmacro {macro.shape[1]}x{macro.shape[0]}"
            writer.write(macro, compression="jpeg", subfiletype=9, description=title, **strips)


def _write_level(
    writer: tifffile.TiffWriter,
    level: Pixels,
    tile: int,
    compression: str,
    *,
    icc: bytes | None,
    reduced: bool = False,
    description: str | None = None,
) -> None:
    writer.write(
        level,
        tile=(tile, tile),
        photometric="rgb",
        compression=compression,
        compressionargs={"level": _QUALITY} if compression == "jpeg" else None,
        iccprofile=icc,
        subfiletype=int(reduced),
        description=description,
        metadata=None,
    )


def make(
    path: Path,
    width: Annotated[int, typer.Option(help="Columns of the finest level.")] = 12000,
    height: Annotated[int, typer.Option(help="Rows of the finest level.")] = 9000,
) -> None:
    """Write an Aperio slide with levels at 1:4 and 1:16."""
    picture = tissue(Size(width, height))
    sizes = [Size(width // ratio, height // ratio) for ratio in (4, 16)]
    write_svs(path, pyramid(picture, sizes))


if __name__ == "__main__":
    typer.run(make)
