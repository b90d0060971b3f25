"""Files that cost far more than they weigh: what they take stays within the promise, or they are refused.

Each is opened and read in a process of its own, which may take no more memory than was promised (RLIMIT_AS).
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.format.main_header import Progression
from sidecar_jp2.hollow import Hollow
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import picture

from sidecar.plugin import Malformed, Unsupported
from sidecar.testing.fakes import MemoryBlob

DECODER = Jp2Decoder(OpenJpeg(bind()))
SMALL = Hollow(size=(64, 64))
COSTLY = {
    "a white page": Hollow(size=(8000, 8000)),
    "a white page in precincts": Hollow(size=(8000, 8000), precincts=((8, 8),), body=20_000),
    "code blocks of 16 samples": Hollow(size=(700, 700), blocks=(2, 2), body=200_000),
    "precincts of 4 samples": Hollow(size=(250, 250), precincts=((1, 1),), body=400_000, progression=Progression.RPCL),
    "precincts of 1 sample": Hollow(size=(250, 250), levels=0, precincts=((0, 0),), body=400_000),
    "50000 layers": Hollow(size=(64, 64), layers=50_000, body=50_000 * 18),
    "layers of precincts": Hollow(size=(512, 512), layers=4000, precincts=((5, 5),), body=1_000_000),
    "tiny tiles": Hollow(size=(100, 100), tile=(1, 1), levels=0, body=100),
    "many tile-parts": Hollow(size=(640, 640), tile=(64, 64), parts=200),
    "33 resolutions": Hollow(size=(2000, 2000), levels=32, body=99),
    "precincts that cross": Hollow(
        size=(2000, 2000), levels=1, precincts=((15, 1), (1, 15)), body=500_000, progression=Progression.PCRL
    ),
    "16 bits": Hollow(size=(3000, 3000), components=1, depth=16),
}
"""Accepted: what they declare is in proportion to their length, or little."""
REFUSED = {
    "points": Hollow(size=(44_000, 44_000)),
    "code blocks": Hollow(size=(4000, 4000), blocks=(2, 2)),
    "precincts": Hollow(size=(1000, 1000), precincts=((1, 1),)),
    "layers of precincts": Hollow(size=(512, 512), precincts=((5, 5),), layers=65535),
    "tiles": Hollow(size=(255, 257), tile=(1, 1), components=1, levels=0),
    "components": Hollow(size=(64, 64), components=16384),
    "positions": Hollow(
        size=(6000, 6000), levels=32, precincts=((15, 15),) * 31 + ((15, 1), (1, 15)), progression=Progression.PCRL
    ),
}
"""Two kilobytes or, for tiles and components, two for each: they would take from 0.1 to 7 GB, or up to a minute."""
NOISE = ("-M 4", "-M 5", "-M 4 -b 16,16", "-I -c [64,64]", "-TP R -SOP -EPH")
"""Options of opj_compress. With 4, every coding pass has a segment of its own."""
CHILD: Final = Path(__file__).with_name("promised.py")
SLACK: Final = 64 * 2**20
"""Address space that is reserved but not used: stacks of threads, arenas."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, int]]]:
    """Return what windows of all these files promised and took, in bytes, by the file's name."""
    folder = tmp_path_factory.mktemp("costly")
    for kind, hollow in COSTLY.items():
        (folder / kind).write_bytes(hollow.codestream)
    for options in NOISE:
        (folder / options).write_bytes(picture((460, 350), *options.split(" ")))
    run = child(folder)
    assert run.returncode == 0, run.stderr[-3000:]
    found: dict[str, list[dict[str, int]]] = {}
    for line in map(json.loads, run.stdout.splitlines()):
        found.setdefault(line.pop("name"), []).append(line)
    return found


def child(folder: Path, *instead: str) -> subprocess.CompletedProcess[str]:
    """Run the process that reads, limited."""
    command = [sys.executable, str(CHILD), str(folder), str(SLACK), *instead]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("kind", [*COSTLY, *NOISE])
def test_what_is_taken_was_promised(kind: str, measured: dict[str, list[dict[str, int]]]) -> None:
    """One pixel and a larger window, of the finest and the coarsest level: resident memory stays within the promise."""
    assert len(measured[kind]) in (2, 4)
    for window in measured[kind]:
        assert window["taken"] <= window["promised"], window


@pytest.mark.parametrize("kind", REFUSED)
def test_claims_out_of_proportion_are_refused(kind: str) -> None:
    """What would take memory or time that the file cannot be worth is refused when it is opened."""
    hollow = REFUSED[kind]
    content = replace(hollow, body=2000 if hollow.tile is None else 1).codestream
    with pytest.raises((Malformed, Unsupported)):
        DECODER.open(MemoryBlob("a.j2k", content))


def test_small_files_promise_little() -> None:
    """Two kilobytes claim less than 100 MB and 1 second before a pixel is asked for, whatever stands in them."""
    for hollow in COSTLY.values():
        content = replace(hollow, body=min(hollow.body, 1)).codestream
        try:
            info = DECODER.open(MemoryBlob("a.j2k", content)).info
        except Malformed:
            continue
        if len(content) <= 2048:
            structures = info.levels[-1]
            assert structures.fixed_bytes < 100 * 2**20
            assert structures.fixed_seconds < 1.1


def test_time_follows_from_what_can_be_coded() -> None:
    """The time of a pixel grows with its bit planes and components, and is bounded by the bytes that there are."""

    def pixel(hollow: Hollow) -> float:
        return DECODER.open(MemoryBlob("a.j2k", hollow.codestream)).info.levels[0].pixel_seconds

    full = Hollow(size=(1000, 1000), body=3_000_000)
    assert pixel(replace(full, depth=16)) > 1.5 * pixel(full) > 3 * pixel(replace(full, components=1))
    assert pixel(replace(full, body=100)) < pixel(full) / 2


def test_the_child_is_limited(tmp_path: Path) -> None:
    """The process that reads has a limit on its memory: 3 GB of zeros are refused there."""
    (tmp_path / "small").write_bytes(SMALL.codestream)
    assert "MemoryError" in child(tmp_path, "bytearray(3 << 30)").stderr
