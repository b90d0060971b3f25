"""The pictures that are measured with: made once, kept in `.bench/files`; or others of the same names elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sidecar.plugin import Size
from tests.benchmarks import mosaic, photograph, quilt

BENCH = Path(__file__).parents[2] / ".bench"
FILES = Path(os.environ.get("BENCH_FILES") or BENCH / "files").resolve()
LARGE = os.environ.get("BENCH_LARGE", "") not in ("", "0")
"""Whether pictures of 1 GP in tiles and of 400 MP in one are measured too."""

SINGLE, TILED = "single_lossy.jp2", "tiled1024_lossy.jp2"
SINGLE_LOSSLESS, TILED_LOSSLESS = "single_lossless.jp2", "tiled1024_lossless.jp2"
SINGLE_LARGE, TILED_LARGE = "single_400mp.jp2", "tiled1024_1gp.jp2"
SLIDE = "slide.svs"
GROWING = ("tiled1024_12mp.jp2", TILED, "tiled1024_400mp.jp2", "tiled1024_1600mp.jp2")
"""The same tiles, in pictures of all sizes."""
IN_TILES = frozenset({TILED, TILED_LARGE})
LABELS = {
    SINGLE: "80 MP, one tile",
    TILED: "80 MP, tiles",
    SINGLE_LOSSLESS: "80 MP, one tile, lossless",
    TILED_LOSSLESS: "80 MP, tiles, lossless",
    SINGLE_LARGE: "400 MP, one tile",
    TILED_LARGE: "1 GP, tiles",
    SLIDE: "50 MP, slide",
    GROWING[0]: "12 MP, tiles",
    GROWING[2]: "400 MP, tiles",
    GROWING[3]: "1,600 MP, tiles",
}

TWELVE = Size(4096, 3072)
EIGHTY = Size(10_000, 8_000)
FOUR_HUNDRED = Size(20_000, 20_000)
LOSSY = ("-I", "-r", "8", "-p", "RPCL", "-PLT", "-c", "[256,256],[256,256],[128,128]")
"""24 bits a pixel to 3, as cultural heritage's access copies are made."""
ONE_TILE = (*LOSSY, "-n", "7", "-SOP", "-EPH", "-TP", "R")
TILES = (*LOSSY, "-n", "7", "-t", "1024,1024", "-TLM")
LOSSLESS = ("-p", "RPCL", "-PLT", "-n", "7")
"""Reversible, as masters are."""
LOSSLESS_ONE_TILE = (*LOSSLESS, "-c", "[256,256],[256,256]" + 5 * ",[128,128]")
LOSSLESS_TILES = (*LOSSLESS, "-t", "1024,1024", "-TLM")
PATCH, PATCH_SIZE = "patch.j2k", Size(4096, 4096)
IN_PATCHES = (
    "-I",
    "-r",
    "8",
    "-p",
    "RPCL",
    "-PLT",
    "-SOP",
    "-EPH",
    "-n",
    "6",
    "-c",
    "[256,256],[256,256]" + 4 * ",[128,128]",
)
"""A single tile that others are laid together from: its sides are multiples of the largest precincts."""
QUILTS = {"67 MP": 2, "1 GP": 8}
"""How many patches are laid side by side in each direction."""
REPEAT = Size(4, 4)
"""9 by 7 whole tiles of 1024, four times each way: 36864 by 28672 pixels."""
REPEATS = {GROWING[2]: Size(3, 2), GROWING[3]: Size(5, 5)}
"""27648 by 14336 pixels, 46080 by 35840."""
SLIDE_SIZE = Size(8192, 6144)


def pictures() -> list[Path]:
    """The pictures in JPEG 2000, the usual two or with the large ones."""
    found = [single(), tiled()]
    if LARGE:
        large = partial(_repeat, times=REPEAT)
        found += [_ready(SINGLE_LARGE, lambda to: _encode(to, FOUR_HUNDRED, ONE_TILE)), _ready(TILED_LARGE, large)]
    return found


def single() -> Path:
    """80 MP in one tile: precincts, RPCL, PLT, SOP, EPH, tile-parts by resolution, 3 bits a pixel."""
    return _ready(SINGLE, lambda to: _encode(to, EIGHTY, ONE_TILE))


def tiled() -> Path:
    """80 MP in tiles of 1024: RPCL, PLT, TLM, 3 bits a pixel."""
    return _ready(TILED, lambda to: _encode(to, EIGHTY, TILES))


def lossless() -> list[Path]:
    """80 MP without loss, in one tile and in tiles of 1024."""
    return [
        _ready(SINGLE_LOSSLESS, lambda to: _encode(to, EIGHTY, LOSSLESS_ONE_TILE)),
        _ready(TILED_LOSSLESS, lambda to: _encode(to, EIGHTY, LOSSLESS_TILES)),
    ]


def growing() -> list[Path]:
    """Tiles of 1024 as in `tiled`, in 12, 80 and 400 MP, and in 1,600 MP with the large ones."""
    small = _ready(GROWING[0], lambda to: _encode(to, TWELVE, TILES))
    wanted = {name: times for name, times in REPEATS.items() if LARGE or name != GROWING[-1]}
    return [small, tiled(), *(_ready(name, partial(_repeat, times=times)) for name, times in wanted.items())]


def patch() -> Path:
    """17 MP in one tile, of which larger ones are made."""
    return _ready(PATCH, lambda to: _encode(to, PATCH_SIZE, IN_PATCHES))


def quilts() -> dict[str, Path]:
    """Single tiles of 67 MP and, with the large ones, 1 GP; by name."""
    wanted = {name: times for name, times in QUILTS.items() if LARGE or times == min(QUILTS.values())}
    return {name: _ready(f"single_{times}x.jp2", partial(_lay, times=times)) for name, times in wanted.items()}


def _lay(path: Path, times: int) -> None:
    taken = quilt.take_apart(patch().read_bytes())
    with path.open("wb") as file:
        quilt.write(file, taken, Size(times, times))


def slide() -> Path:
    """50 MP as a whole-slide scan, tiles in JPEG."""
    return _ready(SLIDE, _slide)


def label(path: Path) -> str:
    """What a picture is, in few words."""
    return LABELS[path.name]


def say(text: str) -> None:
    """Tell what goes on, at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _ready(name: str, make: Callable[[Path], None]) -> Path:
    path = FILES / name
    if not path.exists():
        FILES.mkdir(parents=True, exist_ok=True)
        # What is left of a making that was stopped is no picture. opj_compress goes by the suffix.
        half = path.with_name(f"part-{name}")
        say(f"Making {path}, once")
        make(half)
        half.rename(path)
    return path


def _encode(path: Path, size: Size, options: tuple[str, ...]) -> None:
    with _drawn(size) as picture:
        megapixels = size.area // 10**6
        say(f"  encoding {megapixels} MP; about {megapixels // 2} s and {megapixels * 30 // 1000} GB of memory")
        command = ["opj_compress", "-i", str(picture), "-o", str(path), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as encoder:
            for line in encoder.stdout or ():
                if "tile number" in line:
                    sys.stderr.write(f"\r  {line.strip()}")
        say("")
    if encoder.returncode:
        raise subprocess.CalledProcessError(encoder.returncode, command)


@contextmanager
def _drawn(size: Size) -> Iterator[Path]:
    """The picture before it is encoded."""
    path = FILES / f"picture-{size.width}x{size.height}.ppm"
    say(f"  drawing {size.width} by {size.height} pixels")
    photograph.write(path, size)
    try:
        yield path
    finally:
        path.unlink()


def _repeat(path: Path, times: Size) -> None:
    tiles = mosaic.take_apart(tiled().read_bytes())
    with path.open("wb") as file:
        mosaic.write(file, tiles, times)


def _slide(path: Path) -> None:
    size = ("--width", str(SLIDE_SIZE.width), "--height", str(SLIDE_SIZE.height))
    subprocess.run([sys.executable, "-m", "sidecar_openslide.sample", str(path), *size], check=True)
