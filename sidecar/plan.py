"""Every decision of a request, made once from small integers; nothing after it decides anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Final

from sidecar.errors import TooLarge
from sidecar.footprint import Work, peak_bytes
from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.interfaces import EncoderFactory
from sidecar.model import Frame, ImageInfo, Level, Rect, Size
from sidecar.transform import Scaling, shift

# Below this many pixels a window is decoded in one go: parting it costs more than it saves.
_SMALL: Final = 1 << 20
# Above this it is large even where it cannot be parted.
_LARGE: Final = 4 * _SMALL
# Bands and pieces smaller than this are joined with their neighbours.
_PIECE: Final = 1 << 19
# The first band of a large answer is this part of a tile high, so that the first bytes leave early.
_LEAD: Final = 4
# Bands held at once: in the encoder's hands, decoded ahead, being decoded.
_HELD: Final = 3
# Bands whose bytes are there before any of it is decoded, see sidecar.bands.
_FETCHED: Final = 3


@dataclass(frozen=True, slots=True)
class Band:
    """A strip of the source between two lines of the level's grid, and the pieces of it that decode apart."""

    region: Rect
    pieces: tuple[Rect, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to decode, in which order, and what becomes of it."""

    level: int
    crop: Rect
    """In pixels of the level."""
    bands: tuple[Band, ...]
    """All of `crop`, in the order in which the answer's rows need them."""
    orientation: Orientation
    scaling: Scaling | None
    """Of the oriented crop; None: its pixels as they are."""
    quality: str
    background: tuple[int, int, int]
    profile: bytes | None
    """The ICC profile to convert to sRGB from; None: colours as they are."""
    frame: Frame
    rows: int
    """The encoder's strip height."""
    peak_bytes: int
    """What decoding, scaling and encoding hold at once, at most."""

    @property
    def large(self) -> bool:
        """Whether it takes longer than a tile, and is sent while it is made."""
        return _is_large(self.bands)


@dataclass(frozen=True, slots=True)
class Means:
    """What a plan may use."""

    cores: int
    request_memory: int
    """Bytes an answer should keep to where thinner bands make that possible."""
    memory: int
    """Bytes no answer may exceed."""
    filter: str
    background: tuple[int, int, int]
    srgb: bool = False
    """Whether colours described by a profile are converted to sRGB."""


def plan(geometry: Geometry, quality: str, info: ImageInfo, factory: EncoderFactory, means: Means) -> Plan:
    """Decide how an answer is made. Raises TooLarge where it cannot be within the memory allowed."""
    index = choose_level(info, geometry.region, geometry.size)
    level = info.levels[index]
    crop = project(geometry.region, level)
    turned = geometry.orientation.quarter_turns % 2 == 1
    source = crop.size.turned if turned else crop.size
    target = geometry.size.turned if turned else geometry.size
    frame = _frame(target, quality, info, factory)
    rows = min(factory.rows(frame), target.height)
    scaling = None if source == target else Scaling(source, target, means.filter, shift(geometry.orientation))
    bands = part(level, crop, geometry.orientation, info, means)
    peak = peak_bytes(_work(bands, source, info, means, across=turned), level, info, frame, rows, scaling)
    if peak > means.memory:
        raise TooLarge(f"this answer takes about {peak >> 20} MiB of memory; the limit is {means.memory >> 20} MiB")
    return Plan(
        level=index,
        crop=crop,
        bands=bands,
        orientation=geometry.orientation,
        scaling=scaling,
        quality=quality,
        background=means.background,
        profile=info.icc if means.srgb else None,
        frame=replace(frame, icc=None) if means.srgb else frame,
        rows=rows,
        peak_bytes=peak,
    )


def choose_level(info: ImageInfo, region: Rect, size: Size) -> int:
    """The coarsest level that still has every pixel wanted.

    One pixel may be missing in each direction: levels of slides are rounded down, and a level four times finer for
    the sake of one column would cost sixteen times the work.
    """
    for index in range(len(info.levels) - 1, 0, -1):
        have = project(region, info.levels[index])
        slack = 1 if min(have.width, have.height) > 64 else 0  # noqa: PLR2004  # under 2 % of the side
        if have.width + slack >= size.width and have.height + slack >= size.height:
            return index
    return 0


def project(region: Rect, level: Level) -> Rect:
    """A full-resolution region in pixels of a level; neighbouring regions meet without gap or overlap.

    Both edges are rounded up, as the samples of JPEG 2000 levels lie (ITU-T T.800 B-14).
    """
    x, width = _span(region.x, region.right, level.downsample, level.size.width)
    y, height = _span(region.y, region.bottom, level.downsample, level.size.height)
    return Rect(x, y, width, height)


def _span(start: int, stop: int, downsample: float, limit: int) -> tuple[int, int]:
    first = min(ceil(start / downsample), limit - 1)
    return first, max(1, min(ceil(stop / downsample), limit) - first)


def part(level: Level, crop: Rect, orientation: Orientation, info: ImageInfo, means: Means) -> tuple[Band, ...]:
    """The crop in bands along the direction in which the answer's rows run, each in pieces across it."""
    across = orientation.quarter_turns % 2 == 1
    bands = [
        Band(region, tuple(_pieces(level, region, across=across)))
        for region in _regions(crop, _band_cuts(level, crop, info, means, across=across), across=across)
    ]
    return tuple(reversed(bands) if _descending(orientation) else bands)


def _descending(orientation: Orientation) -> bool:
    """Whether the answer's first row is the source's last row or column."""
    # Turned clockwise once, the first column comes first; a mirror exchanges first and last column, not rows.
    return {0: False, 1: orientation.mirror, 2: True, 3: not orientation.mirror}[orientation.quarter_turns]


def _regions(crop: Rect, cuts: Iterable[int], *, across: bool) -> Iterator[Rect]:
    """The parts of a crop between cuts: of its columns where rows of the answer run `across`, else of its rows."""
    ends = (crop.x, crop.right) if across else (crop.y, crop.bottom)
    for start, stop in pairwise((ends[0], *cuts, ends[1])):
        if across:
            yield Rect(start, crop.y, stop - start, crop.height)
        else:
            yield Rect(crop.x, start, crop.width, stop - start)


def _band_cuts(level: Level, crop: Rect, info: ImageInfo, means: Means, *, across: bool) -> list[int]:
    """Where bands begin: on the lines of the level's grid if it has one, thinner where memory demands it."""
    if crop.size.area <= _SMALL:
        return []
    start, stop, breadth = (crop.x, crop.right, crop.height) if across else (crop.y, crop.bottom, crop.width)
    most = _band_limit(level, breadth, info, means)
    if level.grid is None:
        return [*_thinned(start, stop, most)][:-1]
    free = [*(level.grid.columns(start, stop) if across else level.grid.rows(start, stop))]
    thick = [*_joined(start, stop, free, max(1, _PIECE // breadth))]
    thin = [cut for first, last in pairwise((start, *thick, stop)) for cut in _thinned(first, last, most)]
    return _lead(start, thin)


def _band_limit(level: Level, breadth: int, info: ImageInfo, means: Means) -> int:
    """The most rows of a band within the memory a request should keep to; a strip of 64 at least."""
    together = _together(info, means)
    held = breadth * info.channels * _HELD
    native = breadth * level.pixel_bytes * together if level.grid is None else 0
    return max(64, int((means.request_memory - level.fixed_bytes * together) / (held + native)))


def _joined(start: int, stop: int, cuts: Iterable[int], least: int) -> Iterator[int]:
    """Some of the cuts, so that parts are at least `least` thick where they can be."""
    last = start
    for cut in cuts:
        if cut - last >= least and stop - cut >= least:
            yield cut
            last = cut


def _thinned(start: int, stop: int, most: int) -> Iterator[int]:
    """The cuts that part a stretch evenly so that no part exceeds `most`, and the end of the stretch."""
    parts = -(-(stop - start) // most)
    yield from (start + (stop - start) * k // parts for k in range(1, parts))
    yield stop


def _lead(start: int, cuts_and_end: list[int]) -> list[int]:
    """A thin first band before the others, so that the first bytes leave early."""
    cuts, first = cuts_and_end[:-1], cuts_and_end[0]
    lead = start + (first - start) // _LEAD
    return [lead, *cuts] if cuts and lead - start >= 64 else cuts  # noqa: PLR2004  # a strip at least


def _pieces(level: Level, region: Rect, *, across: bool) -> Iterator[Rect]:
    """A band in pieces that decode apart: less native memory at once, and all cores at work."""
    if level.grid is None or region.size.area <= _SMALL:
        yield region
        return
    ends = (region.y, region.bottom) if across else (region.x, region.right)
    free = level.grid.rows(*ends) if across else level.grid.columns(*ends)
    thick = max(1, region.width if across else region.height)
    yield from _regions(region, _joined(*ends, free, max(1, _PIECE // thick)), across=not across)


def _frame(target: Size, quality: str, info: ImageInfo, factory: EncoderFactory) -> Frame:
    color = 3 if info.channels >= 3 else 1  # noqa: PLR2004
    alpha = info.channels in (2, 4) and factory.alpha and quality != "bitonal"
    grayed = quality in ("gray", "bitonal")
    channels = (1 if grayed else color) + alpha
    # An RGB profile does not describe grey pixels (ICC.1 §7.2.8, "data colour space").
    icc = info.icc if not grayed or color == 1 else None
    return Frame(target, channels, icc, bitonal=quality == "bitonal")


def _work(bands: tuple[Band, ...], source: Size, info: ImageInfo, means: Means, *, across: bool) -> Work:
    """What is held of it at once; a reader that is not parallel decodes one piece at a time."""
    pieces = sorted((piece.size.area for band in bands for piece in band.pieces), reverse=True)
    together = _together(info, means, 1 if _is_large(bands) else len(pieces))
    thickest = max(band.region.width if across else band.region.height for band in bands)
    largest = sorted((band.region.size.area for band in bands), reverse=True)
    fetched = sum(largest[:_FETCHED]) + sum(pieces[:together])
    return Work(source, thickest, len(bands), pieces[:together], fetched)


def _together(info: ImageInfo, means: Means, pieces: int = 1) -> int:
    """How many pieces are in native hands at once: those of a small answer all, of a large one as many as cores."""
    return max(means.cores, pieces) if info.parallel else 1


def _is_large(bands: tuple[Band, ...]) -> bool:
    return len(bands) > 1 or bands[0].region.size.area > _LARGE
