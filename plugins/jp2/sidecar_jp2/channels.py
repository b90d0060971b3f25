"""From what a file says of its colours to what has to be done with each component. Decided once, when it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from sidecar.errors import Malformed, Unsupported
from sidecar_jp2.boxes import Colour, Definition, Mapping
from sidecar_jp2.codestream import Component

DEEPEST = 16
"""Bits of a sample; deeper ones are handed over."""
COLOUR, OPACITY, PREMULTIPLIED, UNSPECIFIED = 0, 1, 2, 0xFFFF
"""Typ of cdef (ITU-T T.800 table I.16)."""
WHOLE = 0
"""Asoc of cdef (table I.17): belongs to the image as a whole."""


class Space(Enum):
    """The colour spaces that are shown; the value is the number of colours."""

    GREY = "grey"
    RGB = "rgb"
    YCC = "ycc"
    CMYK = "cmyk"

    @property
    def colours(self) -> int:
        """The number of colour channels."""
        return {"grey": 1, "cmyk": 4}.get(self.value, 3)


ENUMERATED = {12: Space.CMYK, 16: Space.RGB, 17: Space.GREY, 18: Space.YCC}
"""EnumCS (T.800 table I.10, T.801 table M.25)."""
PROFILED = {b"GRAY": Space.GREY, b"RGB ": Space.RGB, b"CMYK": Space.CMYK}
"""The data colour space of an ICC profile (ISO 15076-1 7.2.6)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a palette: the value of each index."""

    values: tuple[int, ...]
    precision: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of the picture and where it comes from."""

    index: int
    """Of the component."""
    component: Component
    column: Column | None = None

    @property
    def precision(self) -> int:
        """Bits of the channel's values."""
        return self.column.precision if self.column else self.component.precision

    @property
    def direct(self) -> bool:
        """Whether the component's samples are the values, one for each pixel, in 8 bits."""
        plain = self.component
        return (plain.precision, plain.signed, plain.dx, plain.dy, self.column) == (8, False, 1, 1, None)


@dataclass(frozen=True, slots=True)
class Picture:
    """How the components make a picture."""

    space: Space
    colours: tuple[Channel, ...]
    """Grey; red, green, blue; Y, Cb, Cr; cyan, magenta, yellow, black."""
    alpha: Channel | None = None
    icc: bytes | None = field(default=None, repr=False)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The colours, then alpha."""
        return (*self.colours, self.alpha) if self.alpha else self.colours

    @property
    def depth(self) -> int:
        """Channels of the pixels given."""
        return (1 if self.space is Space.GREY else 3) + (self.alpha is not None)

    @property
    def indexed(self) -> bool:
        """Whether samples are indices, so that only full resolution means anything."""
        return any(channel.column for channel in self.channels)


def picture(colour: Colour, components: Sequence[Component], *, alpha: bool = True) -> Picture:
    """Say what each component is; without `alpha` opacity channels are left out.

    Raises Unsupported for what is not surely shown rightly, Malformed where boxes and codestream contradict.
    """
    channels = _channels(colour, components)
    definitions = _defined(colour.definitions, len(channels))
    colours = _colours(definitions, channels)
    space = _space(colour, colours)
    opacity = _opacity(definitions, channels) if alpha else None
    chosen = Picture(space, colours, opacity, colour.icc)
    for channel in chosen.channels:
        if max(channel.precision, channel.component.precision) > DEEPEST:
            raise Unsupported(f"{channel.precision} bits a sample")
    if (colours[0].component.dx, colours[0].component.dy) != (1, 1):
        raise Unsupported("the first colour is subsampled")
    if space is Space.YCC and len({channel.precision for channel in colours}) > 1:
        raise Unsupported("luma and chroma of different depths")
    return chosen


def _channels(colour: Colour, components: Sequence[Component]) -> list[Channel]:
    mappings = colour.mappings or [Mapping(index, None) for index in range(len(components))]
    if any(mapping.component >= len(components) for mapping in mappings):
        raise Malformed(f"cmap: a component beyond the {len(components)} of the codestream")
    columns = _columns(colour)
    return [
        Channel(index, components[index], None if column is None else columns[column]) for index, column in mappings
    ]


def _columns(colour: Colour) -> list[Column]:
    if not colour.palette:
        return []
    precisions, signed, rows = colour.palette
    if any(signed):
        raise Unsupported("pclr: signed values")
    values = zip(*rows, strict=True)
    return [Column(*column) for column in zip(values, precisions, strict=True)]


def _defined(definitions: Sequence[Definition], count: int) -> Sequence[Definition]:
    if any(definition.channel >= count for definition in definitions):
        raise Malformed(f"cdef: a channel beyond the {count} of the image")
    # Without cdef, channels are the colours in their order (T.800 I.5.3.6).
    return definitions or [Definition(index, COLOUR, index + 1) for index in range(count)]


def _colours(definitions: Sequence[Definition], channels: Sequence[Channel]) -> tuple[Channel, ...]:
    found = sorted((each.association, each.channel) for each in definitions if each.kind == COLOUR)
    if [association for association, _ in found] != [*range(1, len(found) + 1)] or not found:
        raise Unsupported("cdef: colours that are not there, or there twice")
    return tuple(channels[channel] for _, channel in found)


def _space(colour: Colour, colours: Sequence[Channel]) -> Space:
    if colour.enumerated is not None:
        if colour.enumerated not in ENUMERATED:
            raise Unsupported(f"colr: enumerated colour space {colour.enumerated}")
        space = ENUMERATED[colour.enumerated]
    elif colour.icc is not None:
        kind = colour.icc[16:20]
        if kind not in PROFILED or colour.icc[36:40] != b"acsp":
            raise Unsupported(f"colr: an ICC profile for {kind!r}")
        space = PROFILED[kind]
    else:
        space = _guess(colours)
    if len(colours) != space.colours:
        raise Unsupported(f"{len(colours)} colour channels for {space.value}")
    if space is Space.RGB and any((each.component.dx, each.component.dy) != (1, 1) for each in colours):
        raise Unsupported("red, green and blue of different sizes")
    return space


def _guess(colours: Sequence[Channel]) -> Space:
    """Guess as opj_decompress does: three components are RGB, with the later ones subsampled Y, Cb and Cr."""
    if len(colours) == Space.GREY.colours:
        return Space.GREY
    return Space.YCC if len(colours) == Space.YCC.colours and colours[1].component.dx != 1 else Space.RGB


def _opacity(definitions: Sequence[Definition], channels: Sequence[Channel]) -> Channel | None:
    found = [each for each in definitions if each.kind not in (COLOUR, UNSPECIFIED)]
    if not found:
        return None
    if len(found) > 1 or (found[0].kind, found[0].association) != (OPACITY, WHOLE):
        raise Unsupported("cdef: opacity that is premultiplied, or not of the whole image")
    return channels[found[0].channel]
