"""The same photograph, encoded in many ways: what serving it costs, near and far, all ways taking turns in one run.

Which file is cheapest to serve is what docs/encoding.md says by these figures.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Final

import gevent
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sidecar_filesystem.settings import FilesystemSettings
from sidecar_jp2.settings import Jp2Settings

from sidecar.errors import SidecarError
from sidecar.plugin import Config, Learns, Section
from sidecar.registry import Plugins, Registry
from sidecar.render.service import ImageService
from tests.benchmarks import files
from tests.benchmarks.encoding import pages
from tests.benchmarks.encoding.recipes import BASE, RECIPES, SIZE, Recipe, made
from tests.benchmarks.encoding.results import (
    EIGHTH,
    EXACT,
    FIRST,
    FULL,
    KEPT,
    KNOWN,
    UNKNOWN,
    WHOLE,
    Case,
    Fetch,
    Results,
    keep,
)
from tests.benchmarks.far import ask
from tests.benchmarks.figures import Report
from tests.benchmarks.peers.machine import machine
from tests.benchmarks.plots import draw
from tests.benchmarks.processes import far_store
from tests.benchmarks.rounds import interleaved, turns
from tests.benchmarks.worker import SETTINGS, Threads, answer, new_service, threads
from tests.unit.docs.tables import ROOT, regenerated

PAGE: Final = ROOT / "docs" / "encoding.md"
SIDE: Final = 512
ROUNDS, FEW = 7, 3
WIDE: Final = "full/1024,/0/default.jpg"
DISTANCES: Final[Mapping[str, int]] = {FULL: 1, EIGHTH: 8}
PIXELS: Final = 4
"""Tiles whose pixels are compared with the picture."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean squared errors of a file's samples, and of JPEG tiles made of it."""

    file: float
    jpeg: float


def run() -> Report:
    """Measure all recipes, keep the figures, and write them into the page."""
    found = dict(made())
    with far_store() as url, threads() as own:
        results = _measured(own, url, found)
    keep(results)
    for name, plot in pages.plots(results):
        draw(plot, KEPT.parent / name)
    PAGE.write_text(regenerated(PAGE), encoding="utf-8")
    return pages.report(results)


def _measured(own: Threads, url: str, found: Mapping[Recipe, Path]) -> Results:
    names = {recipe.title: path.name for recipe, path in found.items()}
    missing = [recipe.title for recipe in RECIPES if recipe not in found]
    times = _times(own, names)
    errors = _errors(own, names)
    results = Results(machine(), datetime.now(UTC).date().isoformat(), SIZE.area, BASE.title, missing)
    for recipe, path in found.items():
        files.say(f"  {recipe.title}, from afar")
        of, error = times[recipe.title], errors[recipe.title]
        results.cases.append(
            Case(recipe.title, path.stat().st_size, error.file, error.jpeg, of, _fetches(own, url, path))
        )
    return results


def _load(own: Threads, *sections: Section) -> Registry:
    return Plugins().load(Config.of(SETTINGS, FilesystemSettings(root=str(files.FILES)), *sections), own.small)


def _service(own: Threads, *sections: Section) -> ImageService:
    return _of(own, _load(own, *sections))


def _of(own: Threads, registry: Registry) -> ImageService:
    return new_service(own, registry, registry.sources)


def _times(own: Threads, names: Mapping[str, str]) -> dict[str, dict[str, Sequence[float]]]:
    """Return the processor time of everything that is asked for, of every recipe; all recipes in turn."""
    registry = _load(own)
    usual, exact = _of(own, registry), _service(own, Jp2Settings(loss_db=0))
    _learn(registry, usual, names)
    asked: Mapping[str, tuple[ImageService, Callable[[int], str], int]] = {
        FULL: (usual, partial(tile, 1), ROUNDS),
        EIGHTH: (usual, partial(tile, 8), ROUNDS),
        EXACT: (exact, partial(tile, 1), ROUNDS),
        WHOLE: (usual, lambda _: WIDE, FEW),
    }
    times: dict[str, dict[str, Sequence[float]]] = {title: {} for title in names}
    for kind, (service, words, rounds) in asked.items():
        files.say(f"  {kind}")
        calls = {title: partial(_ask, service, name, words) for title, name in names.items()}
        for title, taken in interleaved(calls, rounds, process_time).items():
            times[title][kind] = taken
    for title, taken in _firsts(own, names).items():
        times[title][FIRST] = taken
    return times


def _ask(service: ImageService, name: str, words: Callable[[int], str], turn: int) -> None:
    made_of(service, name, words(turn))


def made_of(service: ImageService, name: str, words: str) -> bytes:
    """Return a whole response."""
    with closing(answer(service, name, words)) as body:
        return b"".join(body)


def _learn(registry: Registry, service: ImageService, names: Mapping[str, str]) -> None:
    """Ask for something of each level, and wait until it is known which bits may be left out of it."""
    files.say("  learning what JPEGs hide")
    for name in names.values():
        for words in (*(tile(scale, 0) for scale in DISTANCES.values()), WIDE):
            made_of(service, name, words)
        while any(decoder.learning for decoder in registry.decoders if isinstance(decoder, Learns)):
            gevent.sleep(0.1)


def _firsts(own: Threads, names: Mapping[str, str]) -> Mapping[str, Sequence[float]]:
    """Return the processor time of a tile of a file of which nothing is known yet."""
    files.say(f"  {FIRST}")
    times: dict[str, list[float]] = {title: [] for title in names}
    for turn, title in turns([*names], FEW):
        service = _service(own, Jp2Settings(loss_db=0))
        begin = process_time()
        made_of(service, names[title], tile(1, turn))
        times[title].append(process_time() - begin)
    return times


def _errors(own: Threads, names: Mapping[str, str]) -> Mapping[str, Errors]:
    """Return how far files and JPEGs of them are from the picture, which the lossless base is."""
    files.say("  comparing pixels")
    service = _service(own)
    places = [tile(1, turn) for turn in range(PIXELS)]
    original = [_samples(service, names[BASE.title], words, "png") for words in places]

    def error(name: str, suffix: str) -> float:
        pairs = zip((_samples(service, name, words, suffix) for words in places), original, strict=True)
        return fmean(float(np.square(ours - theirs).mean()) for ours, theirs in pairs)

    return {title: Errors(error(name, "png"), error(name, "jpg")) for title, name in names.items()}


def _samples(service: ImageService, name: str, words: str, suffix: str) -> NDArray[np.float64]:
    content = made_of(service, name, words.replace(".jpg", f".{suffix}"))
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image, np.float64)


def _fetches(own: Threads, url: str, path: Path) -> dict[str, Sequence[Fetch]]:
    """Return what tiles take from afar, of a file whose packets are unknown and known."""
    fetches: dict[str, Sequence[Fetch]] = {}
    for kind, scale in DISTANCES.items():
        pairs = [_pair(own, url, path, tile(scale, turn)) for turn in range(FEW)]
        for which, known in enumerate((UNKNOWN, KNOWN)):
            fetches[f"{kind}, {known}"] = [pair[which] for pair in pairs if pair]
    return fetches


def _pair(own: Threads, url: str, path: Path, words: str) -> Sequence[Fetch]:
    """Ask for a tile twice: of an unknown file, and again; nothing if it is handed over."""
    registry = _load(own, Jp2Settings(loss_db=0))
    try:
        trips = [ask(own, url, path, words, registry) for _ in range(2)]
    except SidecarError as error:
        files.say(f"    handed over: {error}")
        return ()
    return [Fetch(trip.rounds, trip.size) for trip in trips]


def tile(scale: int, turn: int) -> str:
    """Return a tile of a viewer's grid at 1:`scale`, each turn another, as `region/size/rotation/quality.format`."""
    side = SIDE * scale
    columns, rows = max(1, SIZE.width // side), max(1, SIZE.height // side)
    number = int(np.random.default_rng(scale).permutation(columns * rows)[turn % (columns * rows)])
    left, top = number % columns * side, number // columns * side
    width = min(side, SIZE.width - left)
    return f"{left},{top},{width},{min(side, SIZE.height - top)}/{-(-width // scale)},/0/default.jpg"
