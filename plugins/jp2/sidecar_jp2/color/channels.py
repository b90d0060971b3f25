"""What each component means: the colour space and the channels of an image, decided once when it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from sidecar.plugin import Unsupported
from sidecar.plugin.color import shared_profile
from sidecar_jp2.format.broken import Broken
from sidecar_jp2.format.color_boxes import ColorBoxes, Definition, Mapping
from sidecar_jp2.format.siz import Component

MAX_BITS = 16
"""Images with deeper samples are handed over."""
COLOR, OPACITY, PREMULTIPLIED, UNSPECIFIED = 0, 1, 2, 0xFFFF
"""Typ of cdef (ITU-T T.800 table I.16)."""
CHROMA = tuple(((1, 1), step, step) for step in ((1, 1), (2, 1), (2, 2)))
"""XRsiz and YRsiz of luma and chroma that opj_decompress converts: 4:4:4, 4:2:2 and 4:2:0. It shows luma of others."""
TWO = 2
"""So many channels are a grey image and something that no box explains."""
WHOLE_IMAGE = 0
"""Asoc of cdef (table I.17): the channel belongs to the image as a whole."""


class Space(Enum):
    """The colour spaces that can be converted."""

    GREY = "grey"
    RGB = "rgb"
    YCC = "ycc"
    CMYK = "cmyk"

    @property
    def colors(self) -> int:
        """The number of colour channels."""
        return {"grey": 1, "cmyk": 4}.get(self.value, 3)


ENUMERATED = {12: Space.CMYK, 16: Space.RGB, 17: Space.GREY, 18: Space.YCC}
"""EnumCS (T.800 table I.10, T.801 table M.25)."""
PROFILE_HEADER = 128
"""Bytes (ISO 15076-1 7.2)."""
PROFILED = {b"GRAY": Space.GREY, b"RGB ": Space.RGB, b"CMYK": Space.CMYK}
"""The data colour space field of an ICC profile (ISO 15076-1 7.2.6)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a palette: one value for each index."""

    values: tuple[int, ...]
    precision: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of the image and its source."""

    index: int
    """The index of the component."""
    component: Component
    column: Column | None = None

    @property
    def precision(self) -> int:
        """Bits of the channel's values, after the palette if there is one."""
        return self.column.precision if self.column else self.component.precision

    @property
    def direct(self) -> bool:
        """Whether the samples are the pixel values already: 8 bits, unsigned, not subsampled, no palette."""
        plain = self.component
        return (plain.precision, plain.signed, plain.dx, plain.dy, self.column) == (8, False, 1, 1, None)


@dataclass(frozen=True, slots=True)
class ColorModel:
    """How the components make an image."""

    space: Space
    colors: tuple[Channel, ...]
    """Grey; red, green, blue; Y, Cb, Cr; or cyan, magenta, yellow, black."""
    alpha: Channel | None = None
    icc: bytes | None = field(default=None, repr=False)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The colours, then alpha."""
        return (*self.colors, self.alpha) if self.alpha else self.colors

    @property
    def depth(self) -> int:
        """The number of channels of the converted pixels."""
        return (1 if self.space is Space.GREY else 3) + (self.alpha is not None)

    @property
    def indexed(self) -> bool:
        """Whether samples are palette indices, which only make sense at full resolution."""
        return any(channel.column for channel in self.channels)


def make_color_model(color: ColorBoxes, components: Sequence[Component], *, alpha: bool = True) -> ColorModel:
    """Determine the meaning of each component; without `alpha`, leave opacity channels out.

    Raises Unsupported if the colours are ambiguous or unknown, and Broken if boxes and codestream disagree.
    """
    color = replace(color, icc=_usable(color.icc))
    channels = _channels(color, components)
    definitions = _defined(color.definitions, len(channels))
    colors = _colors(definitions, channels)
    space = _space(color, colors)
    opacity = _opacity(definitions, channels) if alpha else None
    model = ColorModel(space, colors, opacity, color.icc)
    for channel in model.channels:
        if max(channel.precision, channel.component.precision) > MAX_BITS:
            raise Unsupported(f"{channel.precision} bits a sample")
    if space is Space.YCC and tuple((each.component.dx, each.component.dy) for each in colors) not in CHROMA:
        raise Unsupported("luma and chroma of unusual sizes")
    if space is Space.YCC and len({channel.precision for channel in colors}) > 1:
        raise Unsupported("luma and chroma of different depths")
    return model


def _usable(icc: bytes | None) -> bytes | None:
    """Leave out a profile that colour engines refuse, and what follows its end (ISO 15076-1 7.2.2, 7.2.9)."""
    if icc is None or len(icc) < PROFILE_HEADER or icc[36:40] != b"acsp":
        return None
    size = int.from_bytes(icc[:4])
    return shared_profile(icc[:size]) if PROFILE_HEADER <= size <= len(icc) else None


def _channels(color: ColorBoxes, components: Sequence[Component]) -> list[Channel]:
    mappings = _mapped(color, len(components))
    if any(mapping.component >= len(components) for mapping in mappings):
        raise Broken(f"cmap: a component beyond the {len(components)} of the codestream")
    columns = _columns(color)
    return [
        Channel(index, components[index], None if column is None else columns[column]) for index, column in mappings
    ]


def _mapped(color: ColorBoxes, components: int) -> Sequence[Mapping]:
    """Return a mapping for each channel, repaired as OpenJPEG does: a column of an only component that is unused."""
    if not color.palette:
        return [Mapping(index, None) for index in range(components)]
    columns = range(len(color.palette.precisions))
    used = {0 if mapping.column is None else mapping.column for mapping in color.mappings[: len(columns)]}
    if components == 1 and used != {*columns}:
        return [Mapping(mapping.component, index) for index, mapping in zip(columns, color.mappings, strict=False)]
    return color.mappings


def _columns(color: ColorBoxes) -> list[Column]:
    if not color.palette:
        return []
    precisions, signed, rows = color.palette
    if any(signed):
        raise Unsupported("pclr: signed values")
    values = zip(*rows, strict=True)
    return [Column(*column) for column in zip(values, precisions, strict=True)]


def _defined(definitions: Sequence[Definition], count: int) -> Sequence[Definition]:
    if any(definition.channel >= count for definition in definitions):
        raise Broken(f"cdef: a channel beyond the {count} of the image")
    # Without cdef, channels are the colours in their order (T.800 I.5.3.6); of two, opj_decompress shows the first.
    return definitions or [Definition(index, COLOR, index + 1) for index in range(1 if count == TWO else count)]


def _colors(definitions: Sequence[Definition], channels: Sequence[Channel]) -> tuple[Channel, ...]:
    found = sorted((each.association, each.channel) for each in definitions if each.kind == COLOR)
    if [association for association, _ in found] != [*range(1, len(found) + 1)] or not found:
        raise Unsupported("cdef: colours that are not there, or there twice")
    return tuple(channels[channel] for _, channel in found)


def _space(color: ColorBoxes, colors: Sequence[Channel]) -> Space:
    if color.enumerated is not None:
        if color.enumerated not in ENUMERATED:
            raise Unsupported(f"colr: enumerated colour space {color.enumerated}")
        space = ENUMERATED[color.enumerated]
    elif color.icc is not None:
        kind = color.icc[16:20]
        if kind not in PROFILED:
            raise Unsupported(f"colr: an ICC profile for {kind!r}")
        space = PROFILED[kind]
    else:
        space = _guess(colors)
    if len(colors) != space.colors:
        raise Unsupported(f"{len(colors)} colour channels for {space.value}")
    if space is Space.RGB and len({(each.component.dx, each.component.dy) for each in colors}) > 1:
        raise Unsupported("red, green and blue of different sizes")
    return space


def _guess(colors: Sequence[Channel]) -> Space:
    """Guess as opj_decompress does: three components are RGB, or Y, Cb and Cr if the later two are subsampled."""
    if len(colors) == Space.GREY.colors:
        return Space.GREY
    first, *_, last = (each.component.dx for each in colors)
    return Space.YCC if len(colors) == Space.YCC.colors and first == 1 != last else Space.RGB


def _opacity(definitions: Sequence[Definition], channels: Sequence[Channel]) -> Channel | None:
    found = [each for each in definitions if each.kind not in (COLOR, UNSPECIFIED)]
    if not found:
        return None
    if len(found) > 1 or (found[0].kind, found[0].association) != (OPACITY, WHOLE_IMAGE):
        raise Unsupported("cdef: opacity that is premultiplied, or not of the whole image")
    return channels[found[0].channel]
