"""What the packets of a precinct say of its code blocks, as a value, as bytes to keep, and a part of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sidecar_jp2.blocks.codewords import MOST_PASSES, segment_passes
from sidecar_jp2.format.block_grid import Grids

NEVER_INCLUDED = 255
"""The zero bit planes of a code block that no layer includes."""
WIDE, NARROW = "I", "H"
"""Array types of lengths: 32 or 16 bits."""
NARROW_LIMIT = 1 << 16


@dataclass(slots=True)
class LayerBlocks:
    """One packet: the code blocks of a precinct in one layer."""

    body: int
    """Where the bytes of the first code block begin in the packet: after SOP, header and EPH."""
    passes: list[int]
    """New coding passes of each code block; 0: the layer has nothing of it."""
    lengths: list[int] = field(default_factory=list)
    """Bytes of each codeword segment of each code block with passes, in order."""


@dataclass(slots=True)
class PrecinctBlocks:
    """The code blocks of a precinct in the order of its packets: subband by subband, row by row."""

    zero_planes: list[int]
    """Missing most significant bit planes of each (T.800 B.10.5), or NEVER_INCLUDED."""
    layers: list[LayerBlocks]

    def to_bytes(self) -> bytes:
        """Return a compact form, some six bytes for each code block and layer."""
        parts = [bytes(self.zero_planes)]
        for layer in self.layers:
            kind = WIDE if max(layer.lengths, default=0) >= NARROW_LIMIT else NARROW
            head = array(WIDE, [layer.body, len(layer.lengths) << 1 | (kind == WIDE)])
            parts += [head.tobytes(), bytes(layer.passes), array(kind, layer.lengths).tobytes()]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes, blocks: int, layers: int) -> PrecinctBlocks:
        """Return what `to_bytes` was made of."""
        found, at = cls([*data[:blocks]], []), blocks
        for _ in range(layers):
            body, count = array(WIDE, data[at : at + 8])
            passes = [*data[at + 8 : at + 8 + blocks]]
            lengths = array(WIDE if count & 1 else NARROW)
            at += 8 + blocks
            stop = at + (count >> 1) * lengths.itemsize
            lengths.frombytes(data[at:stop])
            found.layers.append(LayerBlocks(body, passes, lengths.tolist()))
            at = stop
        return found


@dataclass(frozen=True, slots=True)
class PrecinctPart:
    """Some code blocks of a precinct, and where their bytes lie in its packets."""

    blocks: PrecinctBlocks
    spans: list[list[tuple[int, int]]]
    """For each layer: begin and end of each run of bytes in the packet."""


def part_of(
    blocks: PrecinctBlocks, kept: Sequence[int], style: int, most_passes: Sequence[int] | None = None
) -> PrecinctPart:
    """Return the code blocks with the given numbers, in that order; `style` is their code-block style.

    `most_passes`, one for each of them, are coding passes in all layers: later ones are left out. The bytes of a
    codeword segment stay as they are if any of its passes is left, since decoders stop after the last one.
    """
    before = [0] * len(blocks.zero_planes)
    found = PrecinctPart(PrecinctBlocks([blocks.zero_planes[number] for number in kept], []), [])
    most = [MOST_PASSES] * len(kept) if most_passes is None else most_passes
    for layer in blocks.layers:
        own, spans = _layer_part(layer, [*zip(kept, most, strict=True)], before, style)
        found.blocks.layers.append(own)
        found.spans.append(spans)
        before = [count + more for count, more in zip(before, layer.passes, strict=True)]
    return found


def _layer_part(
    layer: LayerBlocks, kept: Sequence[tuple[int, int]], before: Sequence[int], style: int
) -> tuple[LayerBlocks, list[tuple[int, int]]]:
    own, spans = LayerBlocks(0, []), list[tuple[int, int]]()
    segments, starts = _places(layer, before, style)
    for number, most in kept:
        passes = layer.passes[number]
        if passes > (left := most - before[number]):
            passes = max(0, left)
        own.passes.append(passes)
        if passes:
            begin = segments[number]
            lengths = layer.lengths[begin : begin + len(segment_passes(style, before[number], passes))]
            own.lengths += lengths
            start, stop = starts[number], starts[number] + sum(lengths)
            if spans and spans[-1][1] == start:
                spans[-1] = spans[-1][0], stop
            else:
                spans.append((start, stop))
    return own, spans


def _places(layer: LayerBlocks, before: Sequence[int], style: int) -> tuple[list[int], list[int]]:
    """Return the number of the first codeword segment of each code block, and where its bytes begin in the packet."""
    segments, starts, first, start = [0] * len(before), [0] * len(before), 0, layer.body
    for number, passes in enumerate(layer.passes):
        segments[number], starts[number] = first, start
        if passes:
            stop = first + len(segment_passes(style, before[number], passes))
            start += sum(layer.lengths[first:stop])
            first = stop
    return segments, starts


def numbers_within(whole: Grids, part: Grids) -> Iterator[int]:
    """Yield the numbers, among the code blocks of a whole precinct, of those of a part of it, in order."""
    first = 0
    for grid, inner in zip(whole, part, strict=True):
        for y in range(inner.top, inner.bottom):
            row = first + (y - grid.top) * grid.width - grid.left
            yield from range(row + inner.left, row + inner.right)
        first += grid.width * grid.height
