"""Reading the packet headers of a precinct (ITU-T T.800 B.10)."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.plugin import Buffer
from sidecar_jp2.blocks.codewords import BYPASS, MIDDLE_CODES, MOST_PASSES, SHORT_CODES, TERMALL, segment_passes
from sidecar_jp2.blocks.header_bits import BadPacketHeader, HeaderBits
from sidecar_jp2.blocks.precinct_blocks import NEVER_INCLUDED, LayerBlocks, PrecinctBlocks
from sidecar_jp2.blocks.tag_tree import tag_trees
from sidecar_jp2.format.block_grid import Grids

SOP, SOP_BYTES = b"\xff\x91\x00\x04", 6
EPH = b"\xff\x92"
FIRST_BYTES, BLOCK_BYTES, FURTHER = 16, 6, 8
"""How much of a packet is unpacked first, for the packet and for each code block; and how many times more if that
was too little."""
PADDING = "0" * 16
"""Read beyond the last bit, so that what is read has its full width."""
SEGMENTED = BYPASS | TERMALL
MOST_ZERO_PLANES = 80
"""Bit planes: exponents of 5 bits, guard bits of 3, and the shift of a region of interest."""


class _EndOfBits(Exception):
    """The header continues after the bits that were unpacked."""


class PrecinctReader:
    """Reads the packets of one precinct, layer by layer."""

    def __init__(self, grids: Grids, style: int, *, eph: bool) -> None:
        """`style` is the code-block style (T.800 table A.19); if `eph`, EPH follows each header."""
        trees = tag_trees(grids)
        blocks = len(trees.paths)
        self._paths = trees.paths
        # Of each node of the inclusion trees: the first layer, or a lower bound; and whether it is known.
        self._included, self._known = [0] * trees.nodes, [False] * trees.nodes
        # Of each node of the trees of zero bit planes, -1: not known.
        self._zeros = [-1] * trees.nodes
        self.zero_planes = [NEVER_INCLUDED] * blocks
        self._lblock, self._before = [3] * blocks, [0] * blocks
        self._style = style & SEGMENTED
        self._eph = eph

    def read(self, packet: Buffer, layer: int, unpacked: int) -> LayerBlocks:
        """Read the packet of a layer, of which `unpacked` bytes at most are looked at for the header.

        Raises BadPacketHeader, _EndOfBits.
        """
        view = memoryview(packet)
        at = SOP_BYTES if view[:4] == SOP else 0
        head = view[at : at + unpacked]
        bits = HeaderBits.of(head)
        text = bits.text + PADDING
        passes, lengths = [0] * len(self.zero_planes), list[int]()
        end = 1
        if text[0] == "1":
            end = self._read_blocks(text, layer, passes, lengths)
        if end > len(bits.text):
            raise _EndOfBits
        body = at + bits.packed_length(end, head)
        if self._eph:
            if view[body : body + 2] != EPH:
                raise BadPacketHeader("EPH is missing")
            body += 2
        if body + sum(lengths) != len(view):
            raise BadPacketHeader(f"{body + sum(lengths)} bytes in a packet of {len(view)}")
        return LayerBlocks(body, passes, lengths)

    def _read_blocks(  # noqa: C901, PLR0912, PLR0915  # the inner loop: calls would take most of its time
        self, text: str, layer: int, passes: list[int], lengths: list[int]
    ) -> int:
        """Read what follows the first bit of a header, and return the number of its bits."""
        at, index, included, known, zeros = 1, text.index, self._included, self._known, self._zeros
        zero_planes, lblocks, before, style = self.zero_planes, self._lblock, self._before, self._style
        for block, path in enumerate(self._paths):
            if zero_planes[block] != NEVER_INCLUDED:
                at += 1
                if text[at - 1] == "0":
                    continue
            else:
                low = 0
                for node in path:
                    if known[node]:
                        low = included[node]
                        continue
                    if included[node] > low:  # noqa: PLR1730  # max() takes longer
                        low = included[node]
                    while low <= layer:
                        at += 1
                        if text[at - 1] == "1":
                            known[node] = True
                            break
                        low += 1
                    included[node] = low
                    if low > layer:
                        break
                if low > layer:
                    continue
                low = 0
                for node in path:
                    value = zeros[node]
                    if value < 0:
                        one = index("1", at)
                        value = zeros[node] = low + one - at
                        at = one + 1
                    low = value
                if low > MOST_ZERO_PLANES:
                    raise BadPacketHeader(f"{low} zero bit planes")
                zero_planes[block] = low
            code = text[at : at + 4]
            if code != "1111":
                count, width = SHORT_CODES[code]
                at += width
            elif (code := text[at + 4 : at + 9]) != "11111":
                count = MIDDLE_CODES[code]
                at += 9
            else:
                count = 37 + int(text[at + 9 : at + 16], 2)
                at += 16
            zero = index("0", at)
            lblock = lblocks[block] = lblocks[block] + zero - at
            at = zero + 1
            passes[block] = count
            if not style:
                stop = at + lblock + count.bit_length() - 1
                lengths.append(int(text[at:stop], 2))
                at = stop
            else:
                for part in segment_passes(style, before[block], count):
                    stop = at + lblock + part.bit_length() - 1
                    lengths.append(int(text[at:stop], 2))
                    at = stop
            before[block] += count
            if before[block] > MOST_PASSES:
                raise BadPacketHeader(f"{before[block]} coding passes")
        return at


def read_precinct(grids: Grids, packets: Sequence[Buffer], style: int, *, eph: bool) -> PrecinctBlocks:
    """Read the packets of a precinct, one for each layer. Raises BadPacketHeader if they are not of this precinct."""
    blocks = sum(grid.width * grid.height for grid in grids)
    longest = max(map(len, packets))
    unpacked = FIRST_BYTES + BLOCK_BYTES * blocks
    while True:
        reader = PrecinctReader(grids, style, eph=eph)
        try:
            layers = [reader.read(packet, layer, unpacked) for layer, packet in enumerate(packets)]
            return PrecinctBlocks(reader.zero_planes, layers)
        except (_EndOfBits, IndexError, KeyError, ValueError) as error:  # of text: there are no more bits
            if unpacked >= longest:
                raise BadPacketHeader("a header is longer than its packet") from error
            unpacked *= FURTHER
