"""The reader: windows of one opened image, decoded to pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from sidecar.plugin import (
    Advice,
    Blob,
    Buffer,
    DecodeError,
    Fact,
    Pixels,
    Rect,
    Tolerance,
    Unsupported,
)
from sidecar_jp2 import tallies
from sidecar_jp2.advice import Encoded, advice
from sidecar_jp2.color.convert import Samples, convert
from sidecar_jp2.description import held_bytes
from sidecar_jp2.extraction import Census, Extracted, Extraction, Extractor
from sidecar_jp2.facts import image_facts, window_facts
from sidecar_jp2.format.geometry import Area, Resolution, shape, spread
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.lossy import LossRule
from sidecar_jp2.neighbours import share
from sidecar_jp2.opened_image import OpenedImage, info_of, resolutions_of
from sidecar_jp2.openjpeg.codec import Input, OpenJpeg, Plane
from sidecar_jp2.openjpeg.streams import MemoryInput, open_input
from sidecar_jp2.proven import DecodeUnit
from sidecar_jp2.whole_tiles import peak_bytes, runs
from sidecar_jp2.windows import Jp2Window, joined, split

UNPLANNED = 4 * 2**20
"""Bytes by which the whole tiles of a window that failed may exceed what was planned for the window."""


LARGEST_WHOLE = 64 * 2**20
"""A remote codestream that cannot be decoded in parts is fetched whole up to this many bytes."""


class Jp2Reader:
    """An ImageReader. It holds no state of a decode, so any number of threads may read at once."""

    thread_safe: Literal[True] = True

    def __init__(
        self, image: OpenedImage, opj: OpenJpeg, extractor: Extractor | None = None, rule: LossRule | None = None
    ) -> None:
        """If there is a `rule`, tolerant windows may lose bits, else none."""
        self._image = image
        self._opj = opj
        self._extractor = extractor
        self._rule = rule
        self._resolutions = resolutions_of(image)
        self.info = info_of(image, self._resolutions)
        self.held_bytes = held_bytes(image.header, image.color)
        """The bytes of the header, see HoldsBytes."""

    def window(self, level: int, region: Rect) -> Jp2Window:
        """Return the byte ranges of a region: none if the file is local and decoded whole, since it is read in place.

        Windows of a remote codestream that cannot be decoded in parts take all of it; the core reads that once for all
        of them. Raises SourceError, Unsupported.
        """
        return self.lossy_window(level, region, None)

    def tolerant_window(self, level: int, region: Rect, *, tolerance: Tolerance) -> Jp2Window:
        """As `window`, with what may be lost left out as soon as that is known."""
        loss = None
        if self._rule and not tolerance.exact and self._image.may_lose:
            loss = self._rule.loss(self, level, tolerance)
        return self.lossy_window(level, region, loss)

    @property
    def extractor(self) -> Extractor:
        """What keeps the index; there is one if anything may be lost."""
        if self._extractor is None:
            raise AssertionError("nothing is extracted")
        return self._extractor

    @property
    def blob(self) -> Blob:
        """The file."""
        return self._image.blob

    @property
    def layers(self) -> int:
        """Its quality layers."""
        return self._image.header.layers

    def lossy_window(self, level: int, region: Rect, loss: Loss | None) -> Jp2Window:
        """As `window`, without what may be lost."""
        longest = self._image.cut_sides(level)
        if region.width > longest.width or region.height > longest.height:
            parts = [self._extracted(level, part, loss) for part in split(region, longest)]
            cut = [part for part in parts if part and part.extraction and part.extraction.cut]
            if len(cut) == len(parts):
                return joined(level, region, cut)
        if window := self._extracted(level, region, loss):
            return window
        if self._image.blob.path:
            return Jp2Window(level=level, region=region)
        if self._image.codestream.length > LARGEST_WHOLE:
            raise Unsupported(
                f"{self._image.codestream.length} remote bytes would have to be held whole, because there is no usable "
                "packet index"
            )
        return Jp2Window(level=level, region=region, ranges=(self._image.codestream,))

    def _extracted(self, level: int, region: Rect, loss: Loss | None) -> Jp2Window | None:
        """Return a window that is decoded from a small codestream; None if there is none."""
        lossy = loss is not None
        area, windows = self._resolution(level, lossy=lossy).area(region), self._windows
        extraction = self._extractor.extract(area, cut=windows, loss=loss) if self._extractor else None
        if extraction is None:
            return None
        return Jp2Window(level=level, region=region, ranges=extraction.ranges, extraction=extraction, loss=loss)

    @property
    def _windows(self) -> bool:
        return self._image.unit == DecodeUnit.WINDOW

    def _resolution(self, level: int, *, lossy: bool) -> Resolution:
        """Return a level; the pixels beside a window that make it exact are not needed where it is not."""
        own = self._resolutions[level]
        return replace(own, margin=0) if lossy and own.margin else own

    def gathers(self, level: int, one: Rect, other: Rect) -> bool:
        """Report whether two regions share code blocks or tiles, see SupportsGathering."""
        return share(self._resolutions[level], self._image.unit, self._image.header.coding, one, other)

    def read(self, window: Jp2Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Decode a window into (region.height, region.width, info.channels). Raises DecodeError, SourceError."""
        for part in window.parts:
            self.read(part.window, part.data(data), _part(into, window.region, part.window.region))
        if not window.parts:
            self._read(window, data, into)

    def _read(self, window: Jp2Window, data: Sequence[Buffer], into: Pixels) -> None:
        resolution, extraction = self._resolution(window.level, lossy=window.lossy), window.extraction
        unit = self._image.unit
        with self._input(extraction, data) as (source, small):
            self._check_cut(window, small)
            if unit != DecodeUnit.WINDOW:
                self._read_runs(source, window, extraction, runs(resolution, unit, window.region), into)
                return
            if extraction and extraction.restyled:
                self._check_memory(window)
                self._read_runs(source, window, extraction, self._tiles(window), into)
                return
            area = resolution.area(window.region)
            try:
                self._decode(source, resolution, window.region, area, small.area if small else area, into)
            except DecodeError as error:
                failure = error
            else:
                return
        try:
            self._read_again(window, data, into)
        except DecodeError:
            raise failure from None

    def _read_again(self, window: Jp2Window, data: Sequence[Buffer], into: Pixels) -> None:
        """Read a window that OpenJPEG failed at in whole tiles, out of the whole codestream. Raises DecodeError."""
        self._check_memory(window)
        with self._input(None, () if window.extraction else data) as (source, _):
            self._read_runs(source, window, None, self._tiles(window), into)

    def _check_cut(self, window: Jp2Window, small: Extracted | None) -> None:
        """Raise DecodeError if a tile is not cut, against what was planned, and takes more memory than that."""
        image = self._image
        if not image.cuttable or (small and small.cut):
            return
        size = len(small.codestream) if small else image.codestream.length
        taken = image.estimate.uncut_bytes(window.level, small.dropped if small else 0, size)
        level = self.info.levels[window.level]
        if taken > level.fixed_bytes + level.pixel_bytes * window.region.size.area + UNPLANNED:
            raise DecodeError(
                f"{image.blob.name}: the packets are not as the packet lengths say, and the tile is large"
            )

    def _tiles(self, window: Jp2Window) -> Iterator[tuple[Rect, Area]]:
        return runs(self._resolutions[window.level], DecodeUnit.TILE, window.region, side=1)

    def _check_memory(self, window: Jp2Window) -> None:
        """Raise DecodeError if whole tiles take more memory than was planned for a window."""
        image, level, resolution = self._image, self.info.levels[window.level], self._resolutions[window.level]
        planned = level.fixed_bytes + level.pixel_bytes * window.region.size.area + UNPLANNED
        if peak_bytes(image.estimate, resolution, DecodeUnit.TILE, side=1) > planned:
            raise DecodeError(f"{image.blob.name}: whole tiles take more memory than was planned for a window")

    def _read_runs(
        self,
        source: Input,
        window: Jp2Window,
        extraction: Extraction | None,
        parts: Iterator[tuple[Rect, Area]],
        into: Pixels,
    ) -> None:
        """Decode one area after the other, and cut the parts of the window out of them."""
        for part, area in parts:
            where = extraction.located(area) if extraction else area
            self._decode(source, self._resolutions[window.level], part, area, where, _part(into, window.region, part))

    def _decode(
        self, source: Input, resolution: Resolution, region: Rect, area: Area, where: Area, into: Pixels
    ) -> None:
        """Decode an area, which lies at `where` in the source, and cut a region out of it."""
        with self._opj.decoded(source, where) as planes:
            samples = [
                Samples(
                    channel,
                    _checked(planes, channel.index, shape(resolution, area, channel.component)),
                    *spread(resolution, area, region, channel.component),
                )
                for channel in self._image.color.channels
            ]
            convert(self._image.color, samples, into)

    def facts(self) -> Sequence[Fact]:
        """Return what the file is, see Describes."""
        return image_facts(self._image)

    def window_facts(self, window: Jp2Window) -> Sequence[Fact]:
        """Return what is decoded for a window, see Describes. Raises SourceError."""
        counted = [self._count(part) for part in ([each.window for each in window.parts] or [window])]
        return window_facts(self._image, window, counted)

    def advice(self) -> Sequence[Advice]:
        """Return how the file would better be encoded, see Describes."""
        image = self._image
        length = image.codestream.length
        return advice(Encoded(image.header, length, image.packet_lengths, image.indexed, image.unit))

    def _count(self, window: Jp2Window) -> Census | None:
        if self._extractor is None or window.extraction is None:
            return None
        area = self._resolution(window.level, lossy=window.lossy).area(window.region)
        return self._extractor.count(area, window.loss)

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""

    @contextmanager
    def _input(self, extraction: Extraction | None, data: Sequence[Buffer]) -> Iterator[tuple[Input, Extracted | None]]:
        """Lend a codestream, and what is known of it if it is a small one."""
        blob = self._image.blob
        if extraction:
            made = extraction.extracted(data)
            tallies.count(made.left_out, cut=made.cut)
            yield MemoryInput(made.codestream), made
        elif data:
            tallies.WHOLE.add()
            yield MemoryInput(data[0]), None
        elif blob.path:
            tallies.WHOLE.add()
            with open_input(blob, self._image.codestream) as source:
                yield source, None
        else:
            raise DecodeError(f"{blob.name}: no bytes to decode")


def _part(into: Pixels, region: Rect, part: Rect) -> Pixels:
    """Return the view of a region's pixels that shows a part of it."""
    x, y = part.x - region.x, part.y - region.y
    return into[y : y + part.height, x : x + part.width]


def _checked(planes: Sequence[Plane], index: int, expected: tuple[int, int]) -> Plane:
    if index >= len(planes) or planes[index].shape != expected:
        raise DecodeError(f"OpenJPEG: component {index} does not have {expected[1]}x{expected[0]} samples")
    return planes[index]
