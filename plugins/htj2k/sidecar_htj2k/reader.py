"""The reader: windows of one opened image, decoded to pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sidecar_jp2.advice import Encoded, advice
from sidecar_jp2.color.channels import Channel, ColorModel
from sidecar_jp2.color.convert import Samples, convert
from sidecar_jp2.description import describe, held_bytes
from sidecar_jp2.facts import header_facts
from sidecar_jp2.format.geometry import Resolution
from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.neighbours import share
from sidecar_jp2.proven import DecodeUnit

from sidecar.plugin import Advice, Blob, Buffer, ByteRange, Fact, ImageInfo, Pixels, Rect, Size, Unsupported, Window
from sidecar_htj2k.cuts import common
from sidecar_htj2k.decoding import decode
from sidecar_htj2k.memory import Estimator
from sidecar_htj2k.openjph import OpenJph, Raw, finished
from sidecar_htj2k.stages import Stage, Stager

ROWS_AT_ONCE = 128
"""Rows of a window that are finished and converted together."""
LARGEST_WHOLE = 64 * 2**20
"""Remote tiles without packet lengths are fetched whole up to this many bytes."""


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An opened blob: its codestream, and what its headers declare."""

    blob: Blob
    codestream: ByteRange
    header: MainHeader
    color: ColorModel
    lengths: bool
    """Whether the packet lengths are known."""
    packets: float = 0.0
    """The most packets of a tile."""
    orientation: int = 1
    """How the image is to be shown, see ImageInfo."""
    alpha_is_optional: bool = False
    """See ImageInfo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Htj2kWindow(Window):
    """A window and the stages that it is decoded from."""

    stages: tuple[Stage, ...] = field(default=(), repr=False, compare=False)


class Htj2kReader:
    """An ImageReader. It holds no state of a decode, so any number of threads may read at once."""

    thread_safe: Literal[True] = True

    def __init__(self, image: OpenedImage, codec: OpenJph, indexes: IndexCache) -> None:
        self._image = image
        self._codec = codec
        self._indexes = indexes
        self._etag = image.blob.etag
        self._stager = Stager(image.header)
        self._resolutions = [*_resolutions(image)]
        self.info = _info(image, self._resolutions)
        self.held_bytes = held_bytes(image.header, image.color)
        """The bytes of the header, see HoldsBytes."""

    def window(self, level: int, region: Rect) -> Htj2kWindow:
        """Return the byte ranges of a region. Raises DecodeError, SourceError, Unsupported."""
        blob, header = self._image.blob, self._image.header
        stop, far = self._image.codestream.stop, blob.path is None
        with self._indexes.lease(self._etag, header, stop, far=far) as index:
            stages = self._stager.stages(index, self._resolutions[level].area(region), blob)
        ranges = tuple(part for stage in stages for part in stage.ranges)
        if any(stage.whole_parts for stage in stages):
            if self._image.lengths:
                raise Unsupported("packet lengths that do not add up")
            if blob.path is None and sum(part.length for part in ranges) > LARGEST_WHOLE:
                raise Unsupported("large remote tiles would have to be held whole: there are no packet lengths")
        return Htj2kWindow(level=level, region=region, ranges=ranges, stages=stages)

    def learn(self) -> None:
        """Read all that the index can hold, and keep it outside of this process. Raises SourceError."""
        self._indexes.learn(self._image.blob, self._image.header, self._image.codestream.stop)

    def read(self, window: Htj2kWindow, data: Sequence[Buffer], into: Pixels) -> None:
        """Decode a window into (region.height, region.width, info.channels). Raises DecodeError."""
        resolution, region, at = self._resolutions[window.level], window.region, 0
        wanted = Rect(resolution.left + region.x, resolution.top + region.y, region.width, region.height)
        for stage in window.stages:
            count = len(stage.ranges)
            raw = decode(self._codec, self._image.header, stage, data[at : at + count])
            at += count
            part = common(stage.place, wanted)
            pixels = into[part.y - wanted.y : part.bottom - wanted.y, part.x - wanted.x : part.right - wanted.x]
            place = stage.place
            self._convert(raw[part.y - place.y :, part.x - place.x : part.right - place.x], stage.depth, pixels)

    def facts(self) -> Sequence[Fact]:
        """Return what the file is, see Describes."""
        image = self._image
        declared = header_facts(image.header, image.codestream.length, image.color, packet_lengths=image.lengths)
        found = "an index of their lengths" if image.lengths else "nothing: no packet lengths"
        return [*declared, Fact("packets found by", found), Fact("decoded at once", "the window")]

    def window_facts(self, window: Htj2kWindow) -> Sequence[Fact]:
        """Return what is decoded for a window, see Describes."""
        whole = sum(bool(stage.whole_parts) for stage in window.stages)
        count = len(window.stages)
        text = f"{count} codestreams" if count > 1 else "a codestream"
        return [
            Fact("decoded from", f"{text} of packets cut out" if not whole else f"{text}, {whole} with whole tiles")
        ]

    def advice(self) -> Sequence[Advice]:
        """Return how the file would better be encoded, see Describes."""
        image = self._image
        return advice(Encoded(image.header, image.codestream.length, image.lengths, image.lengths))

    def gathers(self, level: int, one: Rect, other: Rect) -> bool:
        """Report whether two regions share code blocks or tiles, see SupportsGathering."""
        unit = DecodeUnit.WINDOW if self._image.lengths else DecodeUnit.TILE
        return share(self._resolutions[level], unit, self._image.header.coding, one, other)

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""

    def _convert(self, raw: Raw, depth: int, pixels: Pixels) -> None:
        for top in range(0, len(pixels), ROWS_AT_ONCE):
            band = pixels[top : top + ROWS_AT_ONCE]
            part = raw[top : top + len(band)]
            convert(self._image.color, [self._samples(part, each, depth) for each in self._image.color.channels], band)

    def _samples(self, raw: Raw, channel: Channel, depth: int) -> Samples:
        reversible = self._image.header.coding[channel.index].reversible
        plane = finished(raw[..., channel.index], channel.component, depth, reversible=reversible)
        return Samples(channel, plane, slice(0, plane.shape[0]), slice(0, plane.shape[1]))


def _resolutions(image: OpenedImage) -> Iterator[Resolution]:
    geometry, last = image.header.geometry, Size(0, 0)
    deepest = 0 if image.color.indexed else image.header.levels
    for reduce in range(deepest + 1):
        resolution = Resolution(geometry, reduce)
        vanishing = resolution.tiled and min(geometry.tile_width, geometry.tile_height) < resolution.scale
        if reduce and (last == Size(1, 1) or vanishing or not resolution.complete):
            return
        yield resolution
        last = resolution.size


def _info(image: OpenedImage, resolutions: Sequence[Resolution]) -> ImageInfo:
    estimator = Estimator(image.header, image.codestream.length, image.lengths, image.packets)
    return describe(
        resolutions[0],
        [estimator.level(each) for each in resolutions],
        image.color,
        orientation=image.orientation,
        alpha_is_optional=image.alpha_is_optional,
    )
