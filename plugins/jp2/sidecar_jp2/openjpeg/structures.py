"""What OpenJPEG makes and walks through for a tile before it decodes any sample, counted from the main header.

All of it follows from a hundred bytes of header: precincts of two samples, code blocks of sixteen, 65,535 layers. So it
is counted before OpenJPEG is asked. The counts are of the largest tile and upper bounds; the bytes and seconds for each
are fitted to measurements (OpenJPEG 2.5.0 and 2.5.4, see README.md).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from sidecar.plugin import Malformed
from sidecar_jp2.format.main_header import Coding, MainHeader, Progression
from sidecar_jp2.format.rounding import ceil_div

TILE_BYTES: Final = 8_900
TILE_COMPONENT_BYTES: Final = 1_100
"""OpenJPEG keeps the coding parameters of every tile and of each of its components once it has read the header."""
BLOCK_BYTES: Final = 420
PRECINCT_BYTES: Final = 170
"""The structures of a code block, and of a precinct of a subband. OpenJPEG makes those of a whole tile at every
resolution, even for small windows."""
ENTRY_BYTES: Final = 2
"""OpenJPEG notes of every layer of every precinct whether its packet has come, with room for as many precincts in each
resolution of each component as the one with most has."""
TILE_SECONDS: Final = 4e-6
TILE_COMPONENT_SECONDS: Final = 2e-6
BLOCK_SECONDS: Final = 0.3e-6
PRECINCT_SECONDS: Final = 0.6e-6
PRECINCT_READ_SECONDS: Final = 0.8e-6
"""What the first packet of a precinct takes if there is one; that takes a byte of the file at least."""
PACKET_SECONDS, SCATTERED_PACKET_SECONDS = 55e-9, 250e-9
"""A packet looked for; in progressions by position its entry lies far from that of the one before."""
STEP_SECONDS: Final = 5e-9
"""Progressions by position look at every place where a precinct of any resolution may begin (T.800 B.12.1.3)."""
FREE_BYTES: Final = 64 * 2**20
FREE_SECONDS: Final = 1.0
"""What a file may make OpenJPEG claim whatever its length: white pages do, in a few hundred bytes."""
BYTES_PER_BYTE: Final = 256
SECONDS_PER_BYTE: Final = 4e-6
"""What it may claim for each byte of its codestream. Photographs take 1 to 50 bytes, and a hundredth of the time."""


@dataclass(frozen=True, slots=True)
class Structures:
    """Counts for the largest tile of an image."""

    tiles: int
    components: int
    blocks: float = 0.0
    """Code blocks of all components and resolutions."""
    precincts: float = 0.0
    """Precincts, counted once for each subband, as OpenJPEG keeps them."""
    packets: float = 0.0
    entries: float = 0.0
    """See ENTRY_BYTES."""
    steps: float = 0.0
    """See STEP_SECONDS; 0 for the other progressions."""

    @classmethod
    def of(cls, header: MainHeader) -> Structures:
        """Count what a header declares."""
        geometry, codings = header.geometry, header.coding
        tiles, components = geometry.columns * geometry.rows, len(geometry.components)
        width = min(geometry.tile_width, geometry.x1 - geometry.x0)
        height = min(geometry.tile_height, geometry.y1 - geometry.y0)
        blocks = precincts = packets = most = 0.0
        step_x = step_y = float("inf")
        alike = Counter((each.dx, each.dy, coding) for each, coding in zip(geometry.components, codings, strict=True))
        for (dx, dy, coding), count in alike.items():
            for number in range(coding.levels + 1):
                resolution = _Resolution.of(coding, number, ceil_div(width, dx), ceil_div(height, dy))
                blocks += count * resolution.blocks
                precincts += count * resolution.precincts * resolution.bands
                packets += count * resolution.precincts * header.layers
                most = max(most, resolution.precincts)
                halvings = coding.levels - number
                step_x = min(step_x, dx * 2.0 ** (coding.precincts[number][0] + halvings))
                step_y = min(step_y, dy * 2.0 ** (coding.precincts[number][1] + halvings))
        resolutions = components * (max(coding.levels for coding in codings) + 1)
        by_position = header.progression not in (Progression.LRCP, Progression.RLCP)
        return cls(
            tiles,
            components,
            blocks,
            precincts,
            packets,
            entries=(header.layers + 1) * resolutions * most,
            steps=(width / step_x + 1) * (height / step_y + 1) * resolutions if by_position else 0.0,
        )

    @property
    def nbytes(self) -> float:
        """The bytes that OpenJPEG takes for them: parameters of all tiles, and the structures of one."""
        parameters = self.tiles * (TILE_BYTES + TILE_COMPONENT_BYTES * self.components)
        tile = self.blocks * BLOCK_BYTES + self.precincts * PRECINCT_BYTES + self.entries * ENTRY_BYTES
        return parameters + tile

    def seconds(self, compressed: int) -> float:
        """Return the processor seconds that OpenJPEG takes for them; the codestream has `compressed` bytes."""
        parameters = self.tiles * (TILE_SECONDS + TILE_COMPONENT_SECONDS * self.components)
        tile = self.blocks * BLOCK_SECONDS + self.precincts * PRECINCT_SECONDS + self.steps * STEP_SECONDS
        read = min(self.precincts, compressed) * PRECINCT_READ_SECONDS
        packets = self.packets * (SCATTERED_PACKET_SECONDS if self.steps else PACKET_SECONDS)
        return parameters + tile + packets + read

    def check(self, compressed: int) -> None:
        """Raise Malformed if they would take far more memory or time than `compressed` bytes can be worth."""
        if self.nbytes > FREE_BYTES + BYTES_PER_BYTE * compressed:
            claimed = f"{self.tiles} tiles, {self.blocks:.0f} code blocks, {self.packets:.0f} packets"
            raise Malformed(f"{claimed} would take {int(self.nbytes) >> 20} MiB; the codestream has {compressed} bytes")
        if (seconds := self.seconds(compressed)) > FREE_SECONDS + SECONDS_PER_BYTE * compressed:
            claimed = f"{self.precincts:.0f} precincts, {self.packets:.0f} packets, {self.steps:.0f} steps"
            raise Malformed(f"{claimed} would take {seconds:.0f} seconds; the codestream has {compressed} bytes")


@dataclass(frozen=True, slots=True)
class _Resolution:
    """A resolution of a tile-component (ITU-T T.800 B.5 to B.7)."""

    bands: int
    precincts: float
    blocks: float

    @classmethod
    def of(cls, coding: Coding, number: int, width: int, height: int) -> _Resolution:
        lowest = number == 0
        halved = 2.0 ** (coding.levels - number)
        across, down = coding.precincts[number]
        # The edges of a tile need not be edges of precincts.
        precincts = (width / halved / 2**across + 1) * (height / halved / 2**down + 1)
        bands = 1 if lowest else 3
        # No code block is larger than its precinct in its subband.
        sides = (
            min(side, power if lowest else power - 1)
            for side, power in ((coding.block_width, across), (coding.block_height, down))
        )
        half = halved if lowest else 2 * halved
        columns, rows = (extent / half / 2**side + 1 for extent, side in zip((width, height), sides, strict=True))
        return cls(bands, precincts, bands * columns * rows)
