"""What a planned response takes: windows, bytes and memory, found out by what makes it, without making it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sidecar.plugin import EncodedTile, Fact, Level, Rect, Size, Tolerance
from sidecar.render.plan import Plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.reader_cache import OpenImage
from sidecar.render.renderer import Renderer
from sidecar.render.service import Planned
from sidecar.render.stored_tile import stored_tile
from sidecar.render.windows import window_of


@dataclass(frozen=True, slots=True)
class WindowCost:
    """What decoding a piece of the image takes."""

    region: Rect
    """In pixels of the level, as stored."""
    ranges: int
    """How many ranges of the file are read; 0 if its library reads the file by itself."""
    bytes: int
    """How long they are together."""
    facts: tuple[Fact, ...] = ()
    """What the decoder says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a response takes."""

    decoder: str
    image: Size
    """As stored."""
    level: int
    downsample: float
    """Of that level."""
    level_size: Size
    crop: Rect
    """In pixels of the level."""
    size: Size
    """Of the response."""
    steps: tuple[str, ...]
    """What is done to the pixels, in order."""
    tolerance: Tolerance
    """What of them the response hides."""
    bands: int
    large: bool
    """Whether it is made in the background threads, and sent while it is made."""
    windows: tuple[WindowCost, ...]
    """One for the bytes of the tile, if it is passed on."""
    stored: bool
    """Whether the response is a tile that is passed on as the file holds it: nothing is decoded."""
    peak_bytes: int
    """The memory that is promised to it."""
    limit_bytes: int
    """The most that a response may be promised."""
    decode_seconds: float
    """Processor seconds that decoding takes at most, as the decoder states; 0 if it does not."""

    @property
    def window_bytes(self) -> int:
        """Bytes of the file that are read for all windows; each counts though several share bytes."""
        return sum(window.bytes for window in self.windows)

    @property
    def pixels(self) -> int:
        """Pixels that are decoded."""
        return 0 if self.stored else sum(window.region.size.area for window in self.windows)


def cost_of(planned: Planned, renderer: Renderer, limit_bytes: int) -> Cost:
    """Return what a response takes. Called in a greenlet; reads headers and parts of an index, decodes nothing.

    Raises what fetching raises before any bytes of pixels are read.
    """
    plan, blob = planned.plan, planned.found.blob
    with renderer.readers.lease(blob) as image:
        info = image.reader.info
        tile = stored_tile(plan, blob, image, planned.found.factory)
        windows = (_passed(tile),) if tile else tuple(_windows(plan, image, blob.name))
    level = info.levels[plan.level]
    return Cost(
        decoder=image.decoder,
        image=info.size,
        level=plan.level,
        downsample=level.downsample,
        level_size=level.size,
        crop=plan.crop,
        size=planned.geometry.answer,
        steps=(*(_named(step) for step in plan.steps), *(["binarize"] if plan.binarize else [])),
        tolerance=plan.tolerance,
        bands=len(plan.bands),
        large=plan.large,
        windows=windows,
        stored=tile is not None,
        peak_bytes=plan.peak_bytes,
        limit_bytes=limit_bytes,
        decode_seconds=0.0 if tile else sum(map(partial(_seconds, level), windows)),
    )


def summed(windows: Sequence[WindowCost]) -> Sequence[Fact]:
    """Return the facts of all windows: numbers added up, texts that are the same once, others counted."""
    names = dict.fromkeys(fact.name for window in windows for fact in window.facts)
    values = {name: [fact.value for window in windows for fact in window.facts if fact.name == name] for name in names}
    return [Fact(name, _joined(each)) for name, each in values.items()]


def _joined(values: Sequence[str | int | float | bool]) -> str | int | float:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return sum(numbers)
    counted = Counter(map(str, values))
    if len(counted) == 1:
        return next(iter(counted))
    return "; ".join(f"{text} ({count}x)" for text, count in counted.most_common(3))


def _windows(plan: Plan, image: OpenImage, name: str) -> Iterator[WindowCost]:
    for band in plan.bands:
        for region in band.pieces:
            with plugin_call(image.decoder, name):
                window = window_of(image, plan.level, region, plan.tolerance)
                facts = image.describing.window_facts(window) if image.describing else ()
            yield WindowCost(region, len(window.ranges), sum(each.length for each in window.ranges), tuple(facts))


def _passed(tile: EncodedTile) -> WindowCost:
    return WindowCost(tile.region, len(tile.ranges), sum(each.length for each in tile.ranges))


def _seconds(level: Level, window: WindowCost) -> float:
    return level.fixed_seconds + level.pixel_seconds * window.region.size.area


def _named(step: object) -> str:
    """Return a step's name in words: `DropAlpha` is `drop alpha`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(step).__name__).strip()
