"""Ways to encode one photograph as JPEG 2000, each by the command that does it; the files are made once and kept."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from sidecar.plugin import Size
from tests.benchmarks import files, photograph

SIZE: Final = Size(7200, 4800)
"""35 MP, as a camera makes it."""
ORIGINAL: Final = "recipe_original.tif"
PRECINCTS: Final = '-p RPCL -c "[256,256],[256,256],[128,128],[128,128],[128,128],[128,128]"'
"""Without the last three, OpenJPEG and Grok halve precincts, and with them code blocks, from level to level."""
HALVED: Final = '-p RPCL -c "[256,256],[256,256],[128,128]"'
LENGTHS: Final = "-PLT -TLM"
LAYERS: Final = "-r 200,140,100,70,50,35,25,18,12,8,4,1"
LOSSY_LAYERS: Final = "-r 400,280,200,140,100,70,50,35,25,18,12,8"
OPENJPH: Final = (
    "import sys; from imagecodecs import htj2k_encode, imread; "
    "open(sys.argv[2], 'wb').write(htj2k_encode(imread(sys.argv[1]), resolutions=5, {}))"
)
PROGRAMS: Final[Mapping[str, str]] = {
    "opj_compress": "apt-get install libopenjp2-tools",
    "grk_compress": "apt-get install grokj2k-tools",
    "python": "pip install imagecodecs",
}
"""How to install what encodes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to encode a picture."""

    group: str
    name: str
    command: str
    """With IN.tif for the picture and OUT.jp2 or OUT.j2c for the file."""

    @property
    def title(self) -> str:
        """What it is, in few words."""
        return f"{self.group}: {self.name}"

    @property
    def program(self) -> str:
        """The encoder's program."""
        return shlex.split(self.command)[0]

    @property
    def file_name(self) -> str:
        """The name of the encoded file."""
        words = re.sub(r"[^a-z0-9]+", "_", self.title.lower())
        return f"recipe_{words}{'.j2c' if 'OUT.j2c' in self.command else '.jp2'}"

    @property
    def missing(self) -> bool:
        """Whether the program is not there."""
        return self.program != "python" and shutil.which(self.program) is None

    def encode(self, picture: Path, to: Path) -> None:
        """Run the command. Raises CalledProcessError."""
        places = {"IN.tif": str(picture), "OUT.jp2": str(to), "OUT.j2c": str(to), "python": sys.executable}
        words = [places.get(word, word) for word in shlex.split(self.command)]
        subprocess.run(words, check=True, capture_output=True)


def _opj(group: str, name: str, options: str) -> Recipe:
    return Recipe(group, name, f"opj_compress -i IN.tif -o OUT.jp2 {options}".rstrip())


def _grok(name: str, options: str) -> Recipe:
    return Recipe("HTJ2K, lossless", name, f"grk_compress -i IN.tif -o OUT.jp2 -M 64 {options}".rstrip())


def _openjph(group: str, name: str, options: str) -> Recipe:
    return Recipe(group, name, f'python -c "{OPENJPH.format(options)}" IN.tif OUT.j2c')


LOSSLESS, THREE, LESS = "lossless", "3 bits a pixel", "1.5 bits a pixel"
BASE: Final = _opj(LOSSLESS, "one tile, precincts, PLT", f"{PRECINCTS} {LENGTHS}")
"""What the others are compared with."""
RECIPES: Final[Sequence[Recipe]] = (
    _opj(LOSSLESS, "one tile, nothing else", ""),
    _opj(LOSSLESS, "one tile, PLT", LENGTHS),
    _opj(LOSSLESS, "one tile, precincts", PRECINCTS),
    BASE,
    _opj(LOSSLESS, "one tile, halved precincts, PLT", f"{HALVED} {LENGTHS}"),
    _opj(LOSSLESS, "one tile, precincts, PLT, LRCP", f"{PRECINCTS.replace('RPCL', 'LRCP')} {LENGTHS}"),
    _opj(LOSSLESS, "one tile, precincts, PLT, code blocks of 32", f"{PRECINCTS} {LENGTHS} -b 32,32"),
    _opj(LOSSLESS, "one tile, precincts, PLT, 12 layers", f"{PRECINCTS} {LENGTHS} {LAYERS}"),
    _opj(LOSSLESS, "tiles of 1024", "-p RPCL -t 1024,1024"),
    _opj(LOSSLESS, "tiles of 1024, PLT", f"-p RPCL -t 1024,1024 {LENGTHS}"),
    _opj(LOSSLESS, "tiles of 1024, precincts, PLT", f"{PRECINCTS} -t 1024,1024 {LENGTHS}"),
    _opj(LOSSLESS, "tiles of 1024, PLT, 12 layers", f"-p RPCL -t 1024,1024 {LENGTHS} {LAYERS}"),
    _opj(LOSSLESS, "tiles of 512, PLT", f"-p RPCL -t 512,512 {LENGTHS}"),
    _opj(LOSSLESS, "tiles of 256, PLT", f"-p RPCL -t 256,256 {LENGTHS}"),
    _opj(THREE, "one tile, nothing else", "-I -r 8"),
    _opj(THREE, "one tile, precincts, PLT", f"-I -r 8 {PRECINCTS} {LENGTHS}"),
    _opj(THREE, "one tile, precincts, PLT, 12 layers", f"-I {LOSSY_LAYERS} {PRECINCTS} {LENGTHS}"),
    _opj(THREE, "tiles of 1024, PLT", f"-I -r 8 -p RPCL -t 1024,1024 {LENGTHS}"),
    _opj(THREE, "tiles of 512, PLT", f"-I -r 8 -p RPCL -t 512,512 {LENGTHS}"),
    _opj(LESS, "one tile, precincts, PLT", f"-I -r 16 {PRECINCTS} {LENGTHS}"),
    _opj(LESS, "tiles of 1024, PLT", f"-I -r 16 -p RPCL -t 1024,1024 {LENGTHS}"),
    _grok("one tile, nothing else", ""),
    _grok("one tile, precincts, PLT", f"{PRECINCTS} -L -X"),
    _grok("tiles of 1024, PLT", "-p RPCL -t 1024,1024 -L -X"),
    _grok("tiles of 512, PLT", "-p RPCL -t 512,512 -L -X"),
    _openjph("HTJ2K, lossless", "tiles of 512, by OpenJPH", "tile=(512, 512), reversible=True"),
    _openjph("HTJ2K, 3 bits a pixel", "tiles of 1024, by OpenJPH", "tile=(1024, 1024), reversible=False, level=0.01"),
    _openjph("HTJ2K, 3 bits a pixel", "tiles of 512, by OpenJPH", "tile=(512, 512), reversible=False, level=0.01"),
)


def made() -> Iterator[tuple[Recipe, Path]]:
    """Yield the recipes and their files, made if they are not there; those whose program is missing are left out."""
    files.FILES.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        if recipe.missing:
            files.say(f"{recipe.title} is left out: {PROGRAMS[recipe.program]}")
            continue
        path = files.FILES / recipe.file_name
        if not path.exists():
            files.say(f"Making {path}, once")
            half = path.with_name(f"part-{path.name}")
            recipe.encode(_original(), half)
            half.rename(path)
        yield recipe, path


def _original() -> Path:
    """Return the picture as it is before it is encoded, drawn if it is not there."""
    path = files.FILES / ORIGINAL
    if not path.exists():
        files.say(f"Drawing {SIZE.width} by {SIZE.height} pixels, once")
        pixels = Image.new("RGB", (SIZE.width, SIZE.height))
        top = 0
        for strip in photograph.strips(SIZE):
            pixels.paste(Image.fromarray(strip), (0, top))
            top += len(strip)
        pixels.save(path)
    return path
