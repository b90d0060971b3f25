"""Many slides one after the other: open files, opened slides and decoded tiles stay bounded, whoever reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest
from sidecar_openslide.sample import pyramid, tissue, write_svs

from sidecar.plugin import Size
from sidecar.testing.resident import growth
from tests.unit.http.slide_site import served

COUNT: Final = 200
KEPT: Final = 16
"""Slides that are kept open."""
CACHE_BYTES: Final = 2**20
"""Of decoded tiles, of all slides together; those of all slides would be ten times as much."""
SLACK: Final = 24 * 2**20
"""What a worker takes for the first time: libraries' tables, caches of its own."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of slides, each a file of its own."""
    folder = tmp_path_factory.mktemp("slides")
    write_svs(folder / "0.svs", pyramid(tissue(Size(720, 480)), [Size(180, 120)]))
    for number in range(1, COUNT):
        shutil.copy(folder / "0.svs", folder / f"{number}.svs")
    return folder


@pytest.mark.parametrize("decoder,count", [("openslide", COUNT), ("direct", COUNT // 4)])
def test_what_stays_open(folder: Path, decoder: str, count: int) -> None:
    """After tiles of all of them, as many are open as may be kept, and memory has not grown with their number."""
    with served(f"{folder}/", decoder, reader_cache_size=KEPT) as ask:

        def ask_all() -> None:
            for number in range(count):
                assert ask(f"3/{number}.svs/240,0,240,240/max/0/default.png").status_code == 200

        assert ask("3/0.svs/info.json").status_code == 200
        before = len(open_files())
        grown = growth(ask_all, CACHE_BYTES + SLACK)
        assert len(open_files()) <= before + KEPT
        assert grown <= CACHE_BYTES + SLACK


def open_files() -> list[Path]:
    """The descriptors of this process; skips if the system does not list them."""
    listed = Path("/proc/self/fd")
    if not listed.is_dir():
        pytest.skip("this system does not list open files in /proc")
    return [*listed.iterdir()]
