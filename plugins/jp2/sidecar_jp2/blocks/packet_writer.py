"""Writing the packet headers of a precinct (ITU-T T.800 B.10)."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar_jp2.blocks.codewords import PASS_CODES, segment_passes
from sidecar_jp2.blocks.header_bits import packed
from sidecar_jp2.blocks.packet_reader import MOST_ZERO_PLANES, SEGMENTED
from sidecar_jp2.blocks.precinct_blocks import LayerBlocks, PrecinctBlocks
from sidecar_jp2.blocks.tag_tree import NEVER, tag_trees
from sidecar_jp2.format.block_grid import Grids

UNARY = tuple("0" * zeros + "1" for zeros in range(MOST_ZERO_PLANES + 1))
MORE = tuple("1" * ones + "0" for ones in range(33))
EMPTY = b"\0"
"""The header of a packet with no code block (T.800 B.10.3)."""


class PrecinctWriter:
    """Writes the packet headers of one precinct, layer by layer."""

    def __init__(self, grids: Grids, blocks: PrecinctBlocks, style: int) -> None:
        """`style` is the code-block style (T.800 table A.19)."""
        firsts = [NEVER] * len(blocks.zero_planes)
        for number, layer in reversed([*enumerate(blocks.layers)]):
            for block, passes in enumerate(layer.passes):
                if passes:
                    firsts[block] = number
        zeros = [NEVER if first == NEVER else zero for first, zero in zip(firsts, blocks.zero_planes, strict=True)]
        trees = tag_trees(grids)
        self._paths = trees.paths
        self._layers, self._zeros = trees.minima(firsts), trees.minima(zeros)
        # What the headers written so far say of a node: whether its value is known, or at least how much it is.
        self._known, self._zeros_known = [False] * trees.nodes, [False] * trees.nodes
        self._least = [0] * trees.nodes
        self._lblock, self._before = [3] * len(firsts), [0] * len(firsts)
        self._style = style & SEGMENTED

    def write(self, layer: LayerBlocks, number: int) -> bytes:
        """Return the header of the packet of a layer."""
        if not any(layer.passes):
            return EMPTY
        bits = ["1"]
        self._write_blocks(bits, layer, number)
        return packed("".join(bits))

    def _write_blocks(  # noqa: C901, PLR0912  # the inner loop: calls would take most of its time
        self, bits: list[str], layer: LayerBlocks, number: int
    ) -> None:
        """Write what follows the first bit of a header."""
        lblocks, before, passes, lengths, style = self._lblock, self._before, layer.passes, layer.lengths, self._style
        layers, least, known = self._layers, self._least, self._known
        zeros, zeros_known, write, segment = self._zeros, self._zeros_known, bits.append, 0
        for block, path in enumerate(self._paths):
            count = passes[block]
            if before[block]:
                write("1" if count else "0")
            else:
                # Whether it is included, for the first time (T.800 B.10.4).
                low = 0
                for node in path:
                    if known[node]:
                        low = layers[node]
                        continue
                    if least[node] > low:  # noqa: PLR1730  # max() takes longer
                        low = least[node]
                    if layers[node] <= number:
                        write("0" * (layers[node] - low) + "1")
                        low = layers[node]
                        known[node] = True
                    elif low <= number:
                        write("0" * (number + 1 - low))
                        low = least[node] = number + 1
                if count:  # T.800 B.10.5
                    low = 0
                    for node in path:
                        value = zeros[node]
                        if not zeros_known[node]:
                            write(UNARY[value - low])
                            zeros_known[node] = True
                        low = value
            if not count:
                continue
            if not style:
                width = count.bit_length() - 1
                length = lengths[segment]
                segment += 1
                lblock = lblocks[block]
                more = length.bit_length() - width - lblock
                if more > 0:
                    lblocks[block] = lblock = lblock + more
                    write(PASS_CODES[count] + MORE[more])
                else:
                    write(PASS_CODES[count] + "0")
                # A one before the digits keeps the leading zeros.
                write(bin(length | 1 << lblock + width)[3:])
            else:
                parts = segment_passes(style, before[block], count)
                own = lengths[segment : segment + len(parts)]
                segment += len(parts)
                lblocks[block] = _write_segments(bits, count, parts, own, lblocks[block])
            before[block] += count


def _write_segments(bits: list[str], count: int, parts: Sequence[int], lengths: Sequence[int], lblock: int) -> int:
    """Write the number of passes and the lengths of several codeword segments; return Lblock (T.800 B.10.7.2)."""
    widths = [part.bit_length() - 1 for part in parts]
    more = max(max(length.bit_length() - width for length, width in zip(lengths, widths, strict=True)) - lblock, 0)
    lblock += more
    bits += [PASS_CODES[count], MORE[more]]
    bits += [bin(length | 1 << lblock + width)[3:] for length, width in zip(lengths, widths, strict=True)]
    return lblock


def write_precinct(grids: Grids, blocks: PrecinctBlocks, style: int) -> list[bytes]:
    """Return the packet header of each layer of a precinct, without EPH."""
    writer = PrecinctWriter(grids, blocks, style)
    return [writer.write(layer, number) for number, layer in enumerate(blocks.layers)]
