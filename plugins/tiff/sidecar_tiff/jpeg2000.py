"""Aperio's JPEG 2000 tiles: bare codestreams of RGB, or of YCbCr that nothing in them tells from RGB."""

from __future__ import annotations

from sidecar_jp2.color.channels import CHROMA, Channel, ColorModel, Space
from sidecar_jp2.color.convert import Samples, convert
from sidecar_jp2.format.geometry import Resolution, shape, spread
from sidecar_jp2.format.main_header import MainHeader, parse_main_header
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.streams import MemoryInput
from sidecar_jp2.openjpeg.structures import Structures

from sidecar.plugin import Buffer, DecodeError, Malformed, Pixels, Rect, Size, Unsupported


class Jpeg2000:
    """Decodes tiles with OpenJPEG. Any number of threads may decode at once."""

    def __init__(self, codec: OpenJpeg) -> None:
        self._codec = codec

    def decode(self, tile: Buffer, size: Size, reduce: int, into: Pixels, *, ycc: bool) -> None:
        """Decode a tile, halved `reduce` times, into all of an array. Raises DecodeError."""
        header = header_of(tile, size, ycc=ycc)
        if header.levels < reduce:
            raise DecodeError(f"JPEG 2000 tile: it cannot be halved {reduce} times")
        resolution = Resolution(header.geometry, reduce)
        region = Rect(0, 0, resolution.size.width, resolution.size.height)
        area = resolution.area(region)
        model = _colors(header, ycc=ycc)
        with self._codec.decoded(MemoryInput(tile), area) as planes:
            samples = []
            for channel in model.channels:
                if planes[channel.index].shape != shape(resolution, area, channel.component):
                    raise DecodeError(f"JPEG 2000 tile: component {channel.index} lacks samples")
                picks = spread(resolution, area, region, channel.component)
                samples.append(Samples(channel, planes[channel.index], *picks))
            convert(model, samples, into)


def header_of(tile: Buffer, size: Size, *, ycc: bool) -> MainHeader:
    """Return a tile's main header. Raises DecodeError if it is not that of one tile of that size, of 8 bit colours."""
    try:
        header = parse_main_header(bytes(tile))
        Structures.of(header).check(len(tile))
    except (Malformed, Unsupported) as error:
        raise DecodeError(f"JPEG 2000 tile: {error}") from error
    grid = header.geometry
    where = (grid.x0, grid.y0, grid.x1, grid.y1, grid.columns * grid.rows)
    if where != (0, 0, size.width, size.height, 1):
        raise DecodeError(f"JPEG 2000 tile: {grid.x1} x {grid.y1} instead of {size}")
    steps = tuple((each.dx, each.dy) for each in grid.components)
    allowed = CHROMA if ycc else CHROMA[:1]
    if steps not in allowed or any((each.precision, each.signed) != (8, False) for each in grid.components):
        raise DecodeError("JPEG 2000 tile: components of another kind than 8 bit colours")
    return header


def _colors(header: MainHeader, *, ycc: bool) -> ColorModel:
    channels = tuple(Channel(index, each) for index, each in enumerate(header.geometry.components))
    return ColorModel(Space.YCC if ycc else Space.RGB, channels)
