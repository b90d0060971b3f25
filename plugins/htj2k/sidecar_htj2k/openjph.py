"""OpenJPH through imagecodecs: whole codestreams to arrays, and integers to the code blocks of a lowest resolution."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sidecar_jp2.format.main_header import parse_main_header
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.rounding import ceil_div
from sidecar_jp2.format.siz import Component

from sidecar.plugin import Buffer, DecodeError, StartError
from sidecar_htj2k.packets import BitReader, BitWriter, Block, read_blocks, write_blocks

Raw: TypeAlias = NDArray[np.int16] | NDArray[np.int32]
"""Decoded samples before level shift, rounding and clipping: shape (rows, columns, components)."""

SHALLOW, DEEP = 16, 28
"""The depths that codestreams are declared to have.

imagecodecs casts OpenJPH's samples to the declared depth without clipping, so that what overshoots wraps around, as it
does in every reduced image with hard edges. Declared deeper than they are, and signed, samples come as they are. Those
of the 9-7 wavelet are scaled to the declared depth, so that they come with fractional bits and are rounded here.
"""
SHALLOW_PRECISION = 12
"""Reversible samples of up to this many bits, twice overshot, fit into 16."""
BLOCK = 64
"""The sides of imagecodecs' code blocks."""


class Blocks(NamedTuple):
    """Code blocks of a subband, and the first of those that have values."""

    rows: int
    columns: int
    row: int
    column: int

    def none(self) -> list[list[Block | None]]:
        """Return rows of no blocks."""
        return [[None] * self.columns for _ in range(self.rows)]


def load() -> ModuleType:
    """Import imagecodecs. Raises StartError if it is not there or has no OpenJPH."""
    try:
        module = import_module("imagecodecs")
        usable = module.HTJ2K.available
    except (ImportError, AttributeError) as error:
        raise StartError(f"imagecodecs with OpenJPH: {error}") from error
    if not usable:
        raise StartError("imagecodecs was built without OpenJPH")
    return module


def depth_of(components: Sequence[Component], *, reversible: bool) -> int:
    """Return the depth that a codestream is to be declared with."""
    shallow = reversible and max(component.precision for component in components) <= SHALLOW_PRECISION
    return SHALLOW if shallow else DEEP


class OpenJph:
    """The codec. It holds no state: any number of threads may use it at once, and it releases the GIL."""

    def __init__(self, imagecodecs: ModuleType) -> None:
        self._decode: Any = imagecodecs.htj2k_decode
        self._encode: Any = imagecodecs.htj2k_encode

    def decode(self, codestream: Buffer, skipped: int, shape: tuple[int, int, int], depth: int) -> Raw:
        """Decode all of a codestream without its finest `skipped` resolutions: (rows, columns, components).

        The codestream is declared with SHALLOW or DEEP samples, as `depth` says. Raises DecodeError.
        """
        raw: Raw = np.empty(shape, np.int16) if depth == SHALLOW else np.empty(shape, np.int32)
        # If OpenJPH fails after the headers, imagecodecs reports it to sys.unraisablehook and returns what it has.
        # Samples are written in order, and none is that small.
        raw[-1, -1, -1] = unwritten = np.iinfo(raw.dtype).min
        try:
            self._decode(codestream, skipres=skipped, planar=False, out=raw[..., 0] if shape[2] == 1 else raw)
        except (RuntimeError, ValueError) as error:
            raise DecodeError(f"OpenJPH: {error}") from error
        if raw[-1, -1, -1] == unwritten:
            raise DecodeError("OpenJPH: code blocks are broken")
        return raw

    def encode(self, values: NDArray[np.int32], grid: Blocks, planes: int, before: bytes, after: bytes) -> bytes:
        """Return a packet with the code blocks of a lowest resolution that has these values: (rows, columns).

        `grid` is where the values are in it; it is zero elsewhere. `planes` is the number of bit planes that the header
        declares (T.800 E-2); `before` and `after` enclose the packet header. Raises DecodeError if values need more.
        """
        coded = bytes(self._encode(_doubled(values), resolutions=1, reversible=True))
        header = parse_main_header(coded)
        quantization = header.quantization[0]
        surplus = quantization.guard_bits + quantization.steps[0][0] - 1 - planes
        at = header.stop + 14
        while coded[at - 2 : at] != Marker.SOD.to_bytes(2):
            at += 1
        rows, columns = (ceil_div(side, BLOCK) for side in values.shape)
        bits, blocks = BitReader(coded, at), grid.none()
        if not bits.read(1):
            return before + b"\0" + after
        found = [*read_blocks(bits, rows, columns)]
        at = bits.end
        for row, column, missing, length in found:
            if missing < surplus:
                raise DecodeError("OpenJPH: samples of a lower resolution overflow")
            blocks[grid.row + row][grid.column + column] = Block(missing - surplus, coded[at : at + length])
            at += length
        written = BitWriter()
        written.write(1, 1)
        write_blocks(written, blocks)
        return b"".join([before, written.done(), after, *(block.data for line in blocks for block in line if block)])


def _doubled(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return samples whose reversible transform has `values` as low band and nothing else (T.800 F.3.8.2)."""
    rows, columns = values.shape
    wide = np.empty((rows, 2 * columns), np.int32)
    wide[:, ::2] = values
    wide[:, 1:-1:2] = (values[:, :-1] + values[:, 1:]) >> 1
    wide[:, -1] = values[:, -1]
    high = np.empty((2 * rows, 2 * columns), np.int32)
    high[::2] = wide
    high[1:-1:2] = (wide[:-1] + wide[1:]) >> 1
    high[-1] = wide[-1]
    return high


def finished(raw: Raw, component: Component, depth: int, *, reversible: bool) -> NDArray[np.int32]:
    """Shift, round and clip the samples of one component (T.800 G.1): 0 to 2**precision - 1, or signed ones."""
    precision = component.precision
    half = 1 << precision - 1
    samples = raw.astype(np.int32)
    if not reversible:
        fraction = depth - precision
        samples += 1 << fraction - 1
        samples >>= fraction
    if component.signed:
        return np.clip(samples, -half, half - 1, out=samples)
    samples += half
    return np.clip(samples, 0, 2 * half - 1, out=samples)
