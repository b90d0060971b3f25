"""Every decision of a request, made once from small integers; nothing after it decides anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from sidecar.errors import TooLarge
from sidecar.footprint import Work, peak_bytes
from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.interfaces import EncoderFactory
from sidecar.model import Frame, ImageInfo, Level, Rect, Size
from sidecar.partition import FETCH_AHEAD, SMALL, Band, Room, part
from sidecar.transform import Scaling, shift

# Above this many pixels a window is large even where it cannot be parted.
_LARGE: Final = 4 * SMALL


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
    room = Room(means.request_memory, info.channels, _together(info, means))
    bands = part(level, crop, geometry.orientation, room)
    work = _work(bands, source, info, means, factory.overhead, across=turned)
    peak = peak_bytes(work, level, info, frame, rows, scaling)
    if peak > means.memory:
        raise TooLarge(peak, means.memory)
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


def _frame(target: Size, quality: str, info: ImageInfo, factory: EncoderFactory) -> Frame:
    color = 3 if info.channels >= 3 else 1  # noqa: PLR2004
    alpha = info.channels in (2, 4) and factory.alpha and quality != "bitonal"
    grayed = quality in ("gray", "bitonal")
    channels = (1 if grayed else color) + alpha
    # An RGB profile does not describe grey pixels (ICC.1 §7.2.8, "data colour space").
    icc = info.icc if not grayed or color == 1 else None
    return Frame(target, channels, icc, bitonal=quality == "bitonal")


def _work(
    bands: tuple[Band, ...], source: Size, info: ImageInfo, means: Means, encoding: float, *, across: bool
) -> Work:
    """What is held of it at once; a reader that is not parallel decodes one piece at a time."""
    pieces = sorted((piece.size.area for band in bands for piece in band.pieces), reverse=True)
    together = _together(info, means, 1 if _is_large(bands) else len(pieces))
    thickest = max(band.region.width if across else band.region.height for band in bands)
    largest = sorted((band.region.size.area for band in bands), reverse=True)
    fetched = sum(largest[: 1 + FETCH_AHEAD]) + sum(pieces[:together])
    return Work(source, thickest, pieces[:together], fetched, encoding)


def _together(info: ImageInfo, means: Means, pieces: int = 1) -> int:
    """How many pieces are in native hands at once: those of a small answer all, of a large one as many as cores."""
    return max(means.cores, pieces) if info.parallel else 1


def _is_large(bands: tuple[Band, ...]) -> bool:
    return len(bands) > 1 or bands[0].region.size.area > _LARGE
