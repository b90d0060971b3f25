"""Many slides one after the other: open files, opened slides and decoded tiles stay bounded, whoever reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import falcon.testing
import pytest
import sidecar_filesystem
from sidecar_filesystem import FilesystemSettings
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_openslide.sample import pyramid, tissue, write_svs
from sidecar_png import PngFactory, PngSettings
from sidecar_tiff import samples

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config, Decoder, Size, run_inline
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.resident import growth

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


DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "openslide": lambda: OpenSlideDecoder(load(CACHE_BYTES), ["svs"], run_inline),
    "direct": samples.decoder,
}


@pytest.mark.parametrize("decoder,count", [("openslide", COUNT), ("direct", COUNT // 4)])
def test_what_stays_open(folder: Path, decoder: str, count: int) -> None:
    """After tiles of all of them, as many are open as may be kept, and memory has not grown with their number."""
    config = Config.of(
        Settings(reader_cache_size=KEPT), FilesystemSettings.model_validate({"path_prefix": f"{folder}/"})
    )
    native = NativePool(2)
    sources = sidecar_filesystem.register_sources(config, run_inline)
    registry = Registry([*sources], [DECODERS[decoder]()], {"png": PngFactory(PngSettings())})
    app = create_app(config, registry, native)

    def ask(number: int) -> None:
        raw = f"/iiif/3/{number}.svs/240,0,240,240/max/0/default.png"
        assert falcon.testing.simulate_get(app, "/", extras={"RAW_URI": raw}).status_code == 200

    def ask_all() -> None:
        for number in range(count):
            ask(number)

    try:
        ask(0)
        before = len(open_files())
        grown = growth(ask_all, CACHE_BYTES + SLACK)
        assert len(open_files()) <= before + KEPT
        assert grown <= CACHE_BYTES + SLACK
    finally:
        native.close()


def open_files() -> list[Path]:
    """The descriptors of this process; skips if the system does not list them."""
    listed = Path("/proc/self/fd")
    if not listed.is_dir():
        pytest.skip("this system does not list open files in /proc")
    return [*listed.iterdir()]
