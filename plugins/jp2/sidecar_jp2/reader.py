"""One opened image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast
from weakref import WeakValueDictionary

from gevent.lock import BoundedSemaphore

from sidecar.errors import DecodeError, Unsupported
from sidecar.interfaces import Blob
from sidecar.model import Buffer, ByteRange, ImageInfo, Level, Pixels, Rect, Size, Window
from sidecar_jp2 import memory
from sidecar_jp2.channels import Picture, Space
from sidecar_jp2.codestream import MainHeader
from sidecar_jp2.color import Samples, convert
from sidecar_jp2.geometry import Resolution, shape, spread
from sidecar_jp2.inputs import MemoryInput, opened
from sidecar_jp2.openjpeg import Area, Input, OpenJpeg, Plane

IRREVERSIBLE_MARGIN = 16
"""OpenJPEG takes one wavelet coefficient too few around a window of a 9/7 image: a sample in ten thousand is off by
one, unless it decodes some pixels more on each side (found by trial: 8 still showed it, 16 did not)."""


class Cut(Protocol):
    """A smaller codestream that decodes to the same samples in an area."""

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """The bytes of the blob it is made of."""
        ...

    @property
    def area(self) -> Area:
        """Where it has the samples that the whole codestream has in the area it was cut for."""
        ...

    def build(self, data: Sequence[Buffer]) -> Buffer:
        """Put it together from the bytes of `ranges`. Raises DecodeError."""
        ...


class Cutter(Protocol):
    """Knows where the packets of a codestream lie."""

    def cut(self, area: Area) -> Cut | None:
        """What decoding an area takes; None where only the whole codestream will surely do.

        Called in a greenlet. Raises Malformed, SourceError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """What is opened: a blob, where its codestream lies, and what that holds."""

    blob: Blob
    codestream: ByteRange
    header: MainHeader
    levels: int
    """How many times it can be halved."""
    picture: Picture


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Held:
    """A far codestream that cannot be decoded in parts, shared by all windows that are under way together."""

    data: Buffer


@dataclass(frozen=True, slots=True)
class Whole:
    """A Cut that leaves nothing out, its bytes fetched already."""

    held: Held
    area: Area
    ranges: tuple[ByteRange, ...] = ()

    def build(self, data: Sequence[Buffer]) -> Buffer:
        """All of the codestream."""
        del data
        return self.held.data


LARGEST_WHOLE = 64 * 2**20
"""A codestream that is far away and cannot be decoded in parts is fetched whole up to so many bytes."""


class Jp2Reader:
    """An ImageReader. It keeps no state of a decode, so any number of threads may read at once."""

    def __init__(self, source: Source, opj: OpenJpeg, cutter: Cutter | None = None) -> None:
        self._source = source
        self._opj = opj
        self._cutter = cutter
        self._whole: WeakValueDictionary[ByteRange, Held] = WeakValueDictionary()
        self._turn = BoundedSemaphore(1)
        self._resolutions = _resolutions(source)
        self.info = _info(source, self._resolutions)

    def window(self, level: int, region: Rect) -> Window:
        """Which bytes a region takes: none of them where the file lies on this machine and is read in place.

        Where all bytes of a far one are needed they are fetched here, so that windows under way together share them.
        Raises Malformed, SourceError, Unsupported.
        """
        area = self._resolutions[level].area(region)
        if self._cutter and (cut := self._cutter.cut(area)):
            return Window(level, region, cut.ranges, cut)
        if self._source.blob.path:
            return Window(level, region)
        start, stop = self._source.codestream
        if stop - start > LARGEST_WHOLE:
            raise Unsupported(
                f"{stop - start} bytes from afar would have to be held whole: there is no sure packet index"
            )
        return Window(level, region, recipe=Whole(self._fetched(), area))

    def _fetched(self) -> Held:
        """The whole codestream, as long as a window holds it. Raises SourceError."""
        span = self._source.codestream
        with self._turn:
            held = self._whole.get(span)
            if held is None:
                held = self._whole[span] = Held(*self._source.blob.read([span]))
            return held

    def read(self, window: Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Decode a window into (region.height, region.width, info.channels). Raises DecodeError, SourceError."""
        resolution, region = self._resolutions[window.level], window.region
        area = resolution.area(region)
        cut = cast("Cut | None", window.recipe)
        with self._input(cut, data) as source, self._opj.decoded(source, cut.area if cut else area) as planes:
            samples = [
                Samples(
                    channel,
                    _checked(planes, channel.index, shape(resolution, area, channel.component)),
                    *spread(resolution, area, region, channel.component),
                )
                for channel in self._source.picture.channels
            ]
            convert(self._source.picture, samples, into)

    def close(self) -> None:
        """Nothing is held between calls."""

    @contextmanager
    def _input(self, cut: Cut | None, data: Sequence[Buffer]) -> Iterator[Input]:
        blob = self._source.blob
        if cut:
            yield MemoryInput(cut.build(data))
        elif blob.path:
            with opened(blob.path, self._source.codestream, blob.size) as source:
                yield source
        else:
            raise DecodeError(f"{blob.name}: no bytes to decode")


def _checked(planes: Sequence[Plane], index: int, expected: tuple[int, int]) -> Plane:
    if index >= len(planes) or planes[index].shape != expected:
        raise DecodeError(f"OpenJPEG: component {index} is not of {expected[1]}x{expected[0]} samples")
    return planes[index]


def _resolutions(source: Source) -> list[Resolution]:
    geometry = source.header.geometry
    margin = 0 if all(coding.reversible for coding in source.header.coding) else IRREVERSIBLE_MARGIN
    found = [Resolution(geometry, 0, margin)]
    deepest = 0 if source.picture.indexed else source.levels
    for reduce in range(1, deepest + 1):
        resolution = Resolution(geometry, reduce, margin)
        if found[-1].size == Size(1, 1) or not resolution.whole:
            break
        found.append(resolution)
    return found


def _info(source: Source, resolutions: Sequence[Resolution]) -> ImageInfo:
    geometry, picture = source.header.geometry, source.picture
    compressed = source.codestream.stop - source.codestream.start
    levels = tuple(
        Level(
            each.size,
            float(each.scale),
            each.grid,
            memory.fixed_bytes(source.header, each.reduce, compressed),
            memory.pixel_bytes(source.header),
            memory.coded_bytes(source.header, each.size.area, compressed),
        )
        for each in resolutions
    )
    return ImageInfo(
        levels[0].size,
        picture.depth,
        levels,
        Size(geometry.tile_width, geometry.tile_height) if resolutions[0].tiled else None,
        None if picture.space is Space.CMYK else picture.icc,
        parallel=True,
    )
