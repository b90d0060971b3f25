"""How a JPEG 2000 file would better be encoded for serving, and the commands that do it.

The recipe is the one that costs the least in all that viewers ask for: tiles of 1024 whose packets can be found (PLT,
TLM), in the order of resolutions. The figures behind it are in docs/encoding.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Final

from sidecar.plugin import Advice
from sidecar_jp2.format.main_header import MainHeader, Progression
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.proven import DecodeUnit

LARGE: Final = 4 * 2**20
"""Pixels above which it shows how an image is encoded: a screen of it is a small part."""
THUMBNAIL: Final = 512
"""The smallest level should be about so large: it is what overviews are made of."""
SMALLEST_TILE: Final = 512
LARGEST_TILE: Final = 4096
"""Sides of tiles between which none is wasteful: a view at 1:8 takes 23 MB of a file in tiles of 256, 0.7 of 1024."""
SMALLEST_BLOCK: Final = 10
"""Code blocks of 32 x 32 samples, as a power of two; they cost no more than those of 64."""
MANY_TILES: Final = 2**28
"""Pixels above which tiles of 1024 are so many that overviews from afar are cheaper of a single tile with precincts."""
OPJ_TILES, KDU_TILES, GRK = "-t 1024,1024", 'Stiles="{1024,1024}"', "-M 64 -p RPCL -t 1024,1024 -L -X"
OPJ_PRECINCTS: Final = '-c "[256,256],[256,256],[128,128]"'
KDU_PRECINCTS: Final = 'Cprecincts="{256,256},{256,256},{128,128}"'
KDU: Final = 'Corder=RPCL Cblk="{64,64}" ORGgen_plt=yes ORGgen_tlm=8 ORGtparts=R'
PAGE: Final = "docs/encoding.md"
"""What each way to encode costs."""
OJPH: Final = '-prog_order RPCL -tile_size "{512,512}" -tlm_marker true'
"""It writes no PLT, so its tiles are read whole, and should be small."""
BITS: Final = 3
"""Bits for each pixel of a copy that looks like the original."""
HEAVY: Final = 6.0
"""Bits for each pixel above which decoding them is most of the work: lossless files of photographs have 10 to 14."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is known of how an image is encoded."""

    header: MainHeader
    length: int
    """Bytes of the codestream."""
    packet_lengths: bool
    """Whether PLT is there."""
    indexed: bool
    """Whether the packets of windows are found by it."""
    unit: DecodeUnit = DecodeUnit.WINDOW

    @property
    def area(self) -> int:
        """Pixels, at full size."""
        return _area(self.header)

    @property
    def one_tile(self) -> bool:
        """Whether the image is a single tile."""
        return self.header.geometry.columns * self.header.geometry.rows == 1


def advice(image: Encoded) -> Sequence[Advice]:
    """Return what would make an image cheaper to serve, what gains most first; nothing if it is well made."""
    found = [*_reasons(image)]
    # One encoding mends all of them.
    remedy = f"encode it anew ({PAGE} has what that gains)"
    advised = [Advice("; ".join(found), remedy, recipes(image.header))] if found else []
    return [*advised, *_lighter(image)]


def recipes(header: MainHeader, *, reversible: bool | None = None) -> tuple[str, ...]:
    """Return the command lines of encoders for an image like this one; if it is lossless, so is what they make."""
    if reversible is None:
        reversible = all(coding.reversible for coding in header.coding)
    levels, depth = levels_for(header), sum(part.precision for part in header.geometry.components)
    opj_loss = "" if reversible else f" -I -r {max(2, depth // BITS)}"
    kdu_loss = "Creversible=yes" if reversible else f"-rate {BITS}"
    opj_parts, kdu_parts = (OPJ_TILES, KDU_TILES) if _area(header) <= MANY_TILES else (OPJ_PRECINCTS, KDU_PRECINCTS)
    return (
        f"opj_compress -i IN.tif -o OUT.jp2 -n {levels + 1} -p RPCL {opj_parts} -PLT -TLM{opj_loss}",
        f"kdu_compress -i IN.tif -o OUT.jp2 Clevels={levels} {kdu_parts} {KDU} {kdu_loss}",
    )


def _area(header: MainHeader) -> int:
    geometry = header.geometry
    return (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0)


def levels_for(header: MainHeader) -> int:
    """Return how many times an image should be halved, so that the smallest level fits a thumbnail."""
    geometry = header.geometry
    side = max(geometry.x1 - geometry.x0, geometry.y1 - geometry.y0)
    return max(1, min(10, ceil(log2(side / THUMBNAIL)))) if side > THUMBNAIL else 1


def _reasons(image: Encoded) -> Iterator[str]:
    """Yield what costs more than it has to, in the order of what it costs."""
    header = image.header
    if image.unit != DecodeUnit.WINDOW:
        yield f"{_unproven(header)}, so whole tiles are decoded for every window"
    if image.area > LARGE:
        yield from _of_finding(image)
        if header.levels < levels_for(header):
            yield f"it can be halved {header.levels} times only, and overviews are scaled down from a large level"
        yield from _of_only_tile(header) if image.one_tile else _of_tiles(header)
        if min(coding.block_width + coding.block_height for coding in header.coding) < SMALLEST_BLOCK:
            yield "code blocks are smaller than 32 x 32, and each takes time of its own"


def _of_finding(image: Encoded) -> Iterator[str]:
    if not image.packet_lengths:
        yield "there are no packet lengths (PLT), so tiles are read whole"
    elif not image.indexed:
        yield "the order of its packets is ambiguous or changes (POC), so tiles are read whole"
    if not image.one_tile and not image.header.has(Marker.TLM):
        yield "there are no tile-part lengths (TLM), so tile-parts are found by walking from one to the next"


def _of_only_tile(header: MainHeader) -> Iterator[str]:
    if _whole_precincts(header):
        yield "its only tile has no precincts, so each window takes all bytes of its resolution"
    if header.progression in (Progression.LRCP, Progression.CPRL):
        yield f"progression {header.progression.name} scatters the bytes of a window over the file"


def _of_tiles(header: MainHeader) -> Iterator[str]:
    geometry = header.geometry
    smaller, larger = sorted((geometry.tile_width, geometry.tile_height))
    if smaller < SMALLEST_TILE:
        yield f"tiles are {geometry.tile_width} x {geometry.tile_height}, and an overview needs many of them"
    if larger > LARGEST_TILE and _whole_precincts(header):
        yield f"tiles are {geometry.tile_width} x {geometry.tile_height} without precincts, and read whole"


def _lighter(image: Encoded) -> Iterator[Advice]:
    """Yield what makes decoding itself cheaper."""
    header, bits = image.header, 8 * image.length / image.area
    if bits <= HEAVY or image.area <= LARGE or any(coding.high_throughput for coding in header.coding):
        return
    levels, reversible = levels_for(header), all(coding.reversible for coding in header.coding)
    kept, kdu_kept = ("true", "yes") if reversible else ("false", "no")
    yield Advice(
        f"it has more than {HEAVY:g} bits for each pixel, and decoding them is most of the work",
        "encode it as HTJ2K (for the plugin htj2k), which decodes several times as fast and is a little larger, or "
        f"serve a copy of {BITS} bits ({PAGE} has what each costs)",
        (
            *((f"grk_compress -i IN.tif -o OUT.jp2 -n {levels + 1} {GRK}",) if reversible else ()),
            f"kdu_compress -i IN.tif -o OUT.jph Clevels={levels} Cmodes=HT {KDU_TILES} {KDU} Creversible={kdu_kept}",
            f"ojph_compress -i IN.ppm -o OUT.jph -num_decomps {levels} -reversible {kept} {OJPH}",
            *recipes(header, reversible=False),
        ),
    )


def _whole_precincts(header: MainHeader) -> bool:
    """Return whether the finest resolution of a tile is one precinct, or a few."""
    geometry = header.geometry
    side = min(
        max(geometry.tile_width, geometry.tile_height), max(geometry.x1 - geometry.x0, geometry.y1 - geometry.y0)
    )
    return any(min(1 << x, 1 << y) * 2 > side for x, y in (coding.precincts[-1] for coding in header.coding))


def _unproven(header: MainHeader) -> str:
    if header.has(Marker.PPM):
        return "packet headers are packed in the main header (PPM)"
    if header.has(Marker.POC):
        return "its packets change their order (POC)"
    if any(coding.high_throughput for coding in header.coding):
        return "OpenJPEG decodes HT code blocks in whole tiles only (the plugin htj2k does better)"
    return "a feature of it is not proven to be right in windows"
