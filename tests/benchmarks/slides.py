"""Tiles of a slide straight from the file, beside OpenSlide: its DeepZoom, and the plugin that reads with it.

Processor time of all threads, in one process: of the whole application, from a WSGI request to its last byte, and of
DeepZoom with Pillow's JPEG of the same quality and subsampling.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import openslide
from falcon.testing import create_environ
from openslide.deepzoom import DeepZoomGenerator
from sidecar_filesystem import FilesystemSettings, register_sources
from sidecar_openslide import OpenSlideDecoder, OpenSlideSettings
from sidecar_openslide.library import load as load_openslide
from sidecar_tiff import samples
from sidecar_turbojpeg import JpegFactory, JpegSettings
from sidecar_turbojpeg.library import load as load_turbojpeg

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.observability import logging
from sidecar.plugin import Config, Decoder, Frame, Rect, Size
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import on_disk
from sidecar.testing.reading import read
from tests.benchmarks import files
from tests.benchmarks.figures import Chart, Must, Report
from tests.benchmarks.rounds import Times, interleaved, milliseconds, ratio

QUALITY: Final = 80
ROUNDS: Final = 30
STORED: Final = 240
"""The side of the slide's own tiles."""
DIRECT, BARE, OPENSLIDE, DEEP_ZOOM = "direct", "bare", "OpenSlide", "DeepZoom"
NAMES: Final = (DIRECT, BARE, OPENSLIDE, DEEP_ZOOM)
PASSING: Final = 1.5
"""Milliseconds that a stored tile may take."""

Get = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """Tiles of one size and scale."""

    name: str
    side: int
    scale: int
    most: float | None = None
    """Times what DeepZoom takes that ours may take, if that matters."""


KINDS: Final = (
    Kind("stored tile, passed on", STORED, 1),
    Kind("512 at 1:1", 512, 1, 1 / 1.5),
    Kind("960 at 1:1", 4 * STORED, 1, 1 / 1.5),
    Kind("512 at 1:2", 512, 2, 1 / 3),
    Kind("480 at 1:2", 2 * STORED, 2, 1 / 3),
    Kind("512 at 1:8", 512, 8),
)


def run() -> Report:
    """Measure all kinds of tiles."""
    path = files.slide()
    logging.configure("error")
    with served(path, [samples.decoder()]) as direct, served(path, [_openslide()]) as through, bare(path) as plain:
        measured = {kind: measure(kind, path, {DIRECT: direct, OPENSLIDE: through}, plain) for kind in KINDS}
    stored = milliseconds(measured[KINDS[0]], DIRECT)
    return Report(
        "Tiles of a slide of 50 MP: processor time, ms",
        ("", DIRECT, BARE, f"{OPENSLIDE}'s plugin", DEEP_ZOOM, "DeepZoom to direct", "to bare"),
        [
            (
                kind.name,
                *(milliseconds(times, name) for name in NAMES),
                ratio(times, DEEP_ZOOM, DIRECT),
                ratio(times, DEEP_ZOOM, BARE),
            )
            for kind, times in measured.items()
        ],
        Chart(
            "ms of processor time",
            [kind.name for kind in KINDS],
            {name: [milliseconds(times, name) for times in measured.values()] for name in NAMES},
        ),
        [
            Must(f"{kind.name}: of DeepZoom's time", ratio(times, DIRECT, DEEP_ZOOM), kind.most)
            for kind, times in measured.items()
            if kind.most
        ]
        + [Must("a stored tile", stored, PASSING, " ms")],
        [
            "Direct and the plugin: the application from the WSGI request to the last byte, without a server.",
            "Bare: reader and encoder alone, as DeepZoom is.",
            f"DeepZoom: no overlap, tiles as JPEG by Pillow, quality {QUALITY}, 4:2:0. Each tile is asked for once.",
        ],
    )


def measure(kind: Kind, path: Path, sites: Mapping[str, Get], plain: Callable[[Kind, Rect], object]) -> Times:
    """Make the same tiles in four ways, in turn."""
    with openslide.OpenSlide(path) as slide:
        zoom = DeepZoomGenerator(slide, kind.side, 0)
        places = _places(Size(*slide.dimensions), kind)
        level = zoom.level_count - kind.scale.bit_length()
        calls: Mapping[str, Callable[[int], object]] = {
            DIRECT: lambda turn: sites[DIRECT](_words(places[turn], kind)),
            BARE: lambda turn: plain(kind, places[turn]),
            OPENSLIDE: lambda turn: sites[OPENSLIDE](_words(places[turn], kind)),
            DEEP_ZOOM: lambda turn: _deep_zoom(zoom, level, places[turn], kind),
        }
        return interleaved(calls, min(ROUNDS, len(places) - 1), process_time)


def _places(size: Size, kind: Kind) -> Sequence[Rect]:
    """Return whole tiles of a scale, none twice, in a seeded order."""
    step = kind.side * kind.scale
    across, down = size.width // step, size.height // step
    order = np.random.default_rng(kind.side + kind.scale).permutation(across * down).tolist()
    return [Rect(place % across, place // across, step, step) for place in order]


def _words(place: Rect, kind: Kind) -> str:
    x, y = place.x * place.width, place.y * place.height
    return f"{x},{y},{place.width},{place.height}/{kind.side},{kind.side}/0/default.jpg"


def _deep_zoom(zoom: DeepZoomGenerator, level: int, place: Rect, kind: Kind) -> bytes:
    file = io.BytesIO()
    tile = zoom.get_tile(level, (place.x, place.y))
    if tile.size != (kind.side, kind.side):
        raise AssertionError(f"{tile.size} is no tile of {kind.side}")
    tile.save(file, "JPEG", quality=QUALITY, subsampling=2)
    return file.getvalue()


@contextmanager
def served(path: Path, decoders: Sequence[Decoder]) -> Iterator[Get]:
    """Lend what asks a site for pictures of a slide."""
    native = NativePool(4)
    config = Config.of(Settings(), FilesystemSettings(root=str(path.parent)))
    encoder = JpegFactory(JpegSettings(quality=QUALITY), load_turbojpeg())
    registry = Registry([*register_sources(config, native)], decoders, {"jpg": encoder})
    with closing(create_app(config, registry, native)) as app:
        yield partial(_get, app, f"/iiif/3/{path.name}")


@contextmanager
def bare(path: Path) -> Iterator[Callable[[Kind, Rect], bytes]]:
    """Lend what reads a tile with the reader alone and encodes it, or takes a stored one."""
    blob = on_disk(path)
    encoder = JpegFactory(JpegSettings(quality=QUALITY), load_turbojpeg())
    with closing(samples.decoder().open(blob)) as reader:

        def make(kind: Kind, place: Rect) -> bytes:
            (level,) = (n for n, each in enumerate(reader.info.levels) if each.downsample == kind.scale)
            region = Rect(place.x * kind.side, place.y * kind.side, kind.side, kind.side)
            if tile := reader.encoded_tile(level, region):
                return tile.file(blob.read(tile.ranges))
            pixels = read(reader, blob, level, region)
            frame = Frame(size=region.size, channels=3)
            encoding, rows = encoder.start(frame), encoder.rows(frame)
            strips = [encoding.write(pixels[top : top + rows]) for top in range(0, kind.side, rows)]
            return b"".join((*strips, encoding.finish()))

        yield make


def _get(app: Callable[..., Any], root: str, words: str) -> bytes:
    statuses: list[str] = []
    environ = create_environ(f"{root}/{words}") | {"RAW_URI": f"{root}/{words}"}
    answer = app(environ, lambda status, *_: statuses.append(status))
    body = b"".join(answer)
    answer.close()
    if statuses != ["200 OK"]:
        raise AssertionError(f"{statuses} for {words}")
    return body


def _openslide() -> OpenSlideDecoder:
    settings = OpenSlideSettings()
    return OpenSlideDecoder(load_openslide(settings.cache_bytes), settings.suffixes, NativePool(1))
