"""What an image is, and what it costs to serve: measured by asking for typical tiles of it, as a client would."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

from PIL import ImageCms

from sidecar.errors import SidecarError
from sidecar.http.asking import Question
from sidecar.http.forecast import run, settled
from sidecar.iiif.orientation import orientation_of
from sidecar.plugin import Advice, Blob, Fact, ImageInfo, Level, Rect, Size
from sidecar.render.cost import summed
from sidecar.render.one_file import OneBlob
from sidecar.render.reader_cache import OpenImage
from sidecar.render.service import ImageService

TILE: Final = 512
"""The side of the tiles that are asked for."""
SCALES: Final = (1, 4)
"""They are of full size, and a quarter of it."""
ROUNDS: Final = 5
"""Each is made so many times; the fastest counts."""
PATIENCE: Final = 10.0
"""Seconds that decoders may take to learn what they learn while they are idle."""
NAME: Final = "image"
"""By which the image is asked for; no name leads anywhere else."""
FORMATS: Final = ("jpg", "png")
"""What tiles are made as, if one of these is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFacts:
    """A resolution that can be decoded by itself."""

    size: Size
    downsample: float
    grid: tuple[float, float] | None
    """Width and height of the pieces that decode at least extra cost, in its pixels; None: any may cost all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCost:
    """What a typical tile costs."""

    name: str
    """As `512 x 512 at 1:4`."""
    region: Rect
    """At full size."""
    size: Size
    """Of the response."""
    promised_bytes: int
    """Of memory."""
    read_bytes: int
    """Of the file: by ranges if the decoder asks for these, else as its library read them."""
    in_ranges: bool
    """Whether the decoder asks for ranges: the same bytes would be fetched from S3 or HTTP."""
    milliseconds: float | None
    """Processor time of all threads, encoding included; None if it was not measured."""
    body_bytes: int
    """Of the response; 0 if it was not measured."""
    facts: tuple[Fact, ...]
    """What the decoder says of it."""
    reason: str = ""
    """Why it could not be made."""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What an image is."""

    name: str
    path: str
    file_bytes: int
    decoder: str = ""
    reason: str = ""
    """Why requests for it are handed over or refused, a word of docs/reasons.md; empty if they are answered."""
    problem: str = ""
    size: Size | None = None
    channels: int = 0
    orientation: int = 1
    tile: Size | None = None
    profile: str = ""
    """What the ICC profile calls itself."""
    profile_bytes: int = 0
    levels: tuple[LevelFacts, ...] = ()
    facts: tuple[Fact, ...] = ()
    """What the decoder says of it."""
    tiles: tuple[TileCost, ...] = ()
    open_milliseconds: float = 0.0
    """That it took to open it and to find the bytes of the first tile."""
    advice: tuple[Advice, ...] = ()


def inspect(service: ImageService, blob: Blob, *, measure: bool = True) -> Inspection:
    """Return what an image is. Called in a greenlet; `measure`: make typical tiles, which takes a second or so."""
    # Each tile is to be decoded anew.
    own = replace(service, sources=(OneBlob(blob),), renderer=replace(service.renderer, gatherer=None))
    found = Inspection(name=blob.name, path=str(blob.path) if blob.path else "", file_bytes=blob.size)
    try:
        info = own.info(blob)
        with own.renderer.readers.lease(blob) as image:
            found = _described(found, info, image)
    except SidecarError as error:
        return replace(found, reason=error.reason, problem=str(error))
    first = settled(own, _question(own, info, SCALES[0]), PATIENCE if measure else 0)
    tiles = [tile for scale in SCALES if (tile := _tile(own, info, scale, measure=measure))]
    failed = next((tile for tile in tiles if tile.reason), first)
    return replace(
        found,
        reason=failed.reason,
        problem=failed.problem,
        open_milliseconds=first.milliseconds,
        tiles=tuple(tile for tile in tiles if not tile.reason),
    )


def _described(found: Inspection, info: ImageInfo, image: OpenImage) -> Inspection:
    """Add what the decoder says of an image."""
    describing = image.describing
    return replace(
        found,
        decoder=image.decoder,
        size=info.size,
        channels=info.channels,
        orientation=info.orientation,
        tile=info.tile,
        profile=_profile(info.icc),
        profile_bytes=len(info.icc or b""),
        levels=tuple(_level(level) for level in info.levels),
        facts=tuple(describing.facts()) if describing else (),
        advice=tuple(describing.advice()) if describing else (),
    )


def _level(level: Level) -> LevelFacts:
    grid = (level.grid.width, level.grid.height) if level.grid else None
    return LevelFacts(size=level.size, downsample=level.downsample, grid=grid)


def _tile(service: ImageService, info: ImageInfo, scale: int, *, measure: bool) -> TileCost | None:
    """Return what a tile from the middle of an image costs; None if it would not be made."""
    question = _question(service, info, scale)
    foreseen = settled(service, question, PATIENCE if measure else 0)
    if foreseen.cost is None:
        return None
    cost = foreseen.cost
    runs = [run(service, question) for _ in range(ROUNDS if measure else 0)]
    in_ranges = all(window.ranges for window in cost.windows)
    # Libraries keep what they have read.
    by_itself = runs[0].system_read_bytes if runs else 0
    return TileCost(
        name=f"{cost.size.width} x {cost.size.height} at 1:{scale}",
        region=_region(info, scale),
        size=cost.size,
        promised_bytes=cost.peak_bytes,
        read_bytes=cost.window_bytes if in_ranges else by_itself,
        in_ranges=in_ranges,
        milliseconds=min((each.processor for each in runs), default=None),
        body_bytes=max((each.body_bytes for each in runs), default=0),
        facts=tuple(summed(cost.windows)),
        reason=max((each.reason for each in runs), default=""),
        problem=max((each.problem for each in runs), default=""),
    )


def _question(service: ImageService, info: ImageInfo, scale: int) -> Question:
    """Return the request for a tile, as a viewer would ask."""
    region = _region(info, scale)
    size = Size(-(-region.width // scale), -(-region.height // scale))
    encoder = next((name for name in FORMATS if name in service.encoders), next(iter(service.encoders)))
    place = f"{region.x},{region.y},{region.width},{region.height}"
    prefix = f"/iiif/{service.settings.endpoints[-1]}/{NAME}"
    return Question(f"{prefix}/{place}/{size.width},{size.height}/0/default.{encoder}")


def _region(info: ImageInfo, scale: int) -> Rect:
    """Return the tile in the middle of an image as it is shown; all of it if it is smaller than a tile."""
    size, side = orientation_of(info.orientation).apply(info.size), TILE * scale
    x, y = (middle // side * side for middle in (size.width // 2, size.height // 2))
    return Rect(x, y, min(side, size.width - x), min(side, size.height - y))


def _profile(icc: bytes | None) -> str:
    """Return what a profile calls itself."""
    if icc is None:
        return ""
    try:
        return ImageCms.getProfileDescription(ImageCms.getOpenProfile(BytesIO(icc))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable"
