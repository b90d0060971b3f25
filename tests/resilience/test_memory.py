"""Memory comes back: after mixed load a worker holds little more than when it had started."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tests.nginx.peers import ask
from tests.nginx.servers import Sidecar
from tests.resilience.processes import Watch, pss

IMAGES: Final = Path(__file__).parents[1] / "data" / "images"
SOON: Final = "from sidecar.server import heap\nheap._QUIET, heap._PAUSE = 1.0, 0.5\n"
"""As sitecustomize.py: what takes ten seconds takes one."""
NAMES: Final = ("untiled_precincts_plt_sop_eph.jp2", "tiled_512.jp2", "icc.jp2", "rgba.jp2")
LARGE: Final = [f"{name}/full/^2400,/0/default.{end}" for end in ("jpg", "png") for name in NAMES]
SMALL: Final = [f"{name}/{x},{y},256,256/^256,/0/default.jpg" for y in (0, 200) for x in (0, 200) for name in NAMES]
MOST: Final = 1.5
"""Times what it held at the start."""
ATTEMPTS: Final = 3
PATIENCE: Final = 20
"""Seconds that it may take, of which the measuring of images takes some."""


def test_memory_comes_back(tmp_path: Path) -> None:
    """Whole images and tiles of all kinds take a multiple of what a worker holds at the start; then that is free.

    Which freed pages lie between others that are in use, and stay, is chance: so one worker of three will do.
    """
    left: list[float] = []
    while len(left) < ATTEMPTS and min(left, default=MOST + 1) > MOST:
        home = tmp_path / str(len(left))
        home.mkdir()
        left.append(after_load(home))
    assert min(left) <= MOST, left


def after_load(tmp_path: Path) -> float:
    """Return how many times the memory that a worker held at its start it holds some time after load."""
    (tmp_path / "sitecustomize.py").write_text(SOON, encoding="utf-8")
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))}
    settings = f'workers = 1\nmax_scale = 4\nlog_level = "error"\n[filesystem]\nroot = "{IMAGES}"\n'
    sidecar = Sidecar(tmp_path, settings, environment=variables)
    try:
        worker = sidecar.workers()[0]
        start = pss(worker)
        with Watch(lambda: (worker,), pss, 0.02) as memory, ThreadPoolExecutor(8) as crowd:
            asked = [f"/iiif/3/{each}" for each in (*LARGE, *SMALL)]
            statuses = [answer.status for answer in crowd.map(partial(ask, sidecar.port), asked)]
        assert [one for one in zip(statuses, asked, strict=True) if one[0] != HTTPStatus.OK] == []
        assert memory.peak > start * MOST, "that was no load"
        end = monotonic() + PATIENCE
        while pss(worker) > start * MOST and monotonic() < end:
            sleep(0.1)
        return pss(worker) / start
    finally:
        sidecar.stop()
