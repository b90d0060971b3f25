"""What a JPEG 2000 file is, and what its windows take, in the words of ITU-T T.800, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from sidecar.plugin import Fact
from sidecar_jp2.color.channels import ColorModel
from sidecar_jp2.extraction import Census
from sidecar_jp2.format.main_header import Coding, MainHeader
from sidecar_jp2.format.markers import Marker
from sidecar_jp2.format.siz import Component
from sidecar_jp2.loss.dropped_planes import COLORS, DEPTHS, Loss, dropped_planes
from sidecar_jp2.opened_image import OpenedImage
from sidecar_jp2.proven import DecodeUnit
from sidecar_jp2.windows import Jp2Window

STYLES: Final = ("bypass", "reset", "terminate-all", "vertically-causal", "predictable-termination", "segmentation")
"""The bits of a code-block style, the lowest first (T.800 table A.19)."""
LARGEST: Final = 15
"""The exponent of a precinct side that stands for no precincts (T.800 table A.21)."""
BANDS: Final = ("HL", "LH", "HH")
NOT_SEPARATE: Final[dict[DecodeUnit, str]] = {
    DecodeUnit.WINDOW: "the window",
    DecodeUnit.TILE: "whole tiles: a feature of this file is not proven to be right in windows",
    DecodeUnit.IMAGE: "the whole image: packet headers are in the main header (PPM)",
}


def header_facts(header: MainHeader, length: int, color: ColorModel, *, packet_lengths: bool) -> Iterator[Fact]:
    """Yield what a codestream of `length` bytes declares."""
    geometry, coding = header.geometry, header.coding[0]
    area = (geometry.x1 - geometry.x0) * (geometry.y1 - geometry.y0)
    yield Fact("components", _components(geometry.components))
    yield Fact("colour space", color.space.value + (", palette" if color.indexed else ""))
    yield Fact("bits per pixel", round(8 * length / area, 2))
    if geometry.columns * geometry.rows == 1:
        yield Fact("tiles", "1: the whole image")
    else:
        count, side = geometry.columns * geometry.rows, f"{geometry.tile_width} x {geometry.tile_height}"
        yield Fact("tiles", f"{count}: {geometry.columns} x {geometry.rows} of {side} pixels")
    yield Fact("decomposition levels", header.levels)
    yield Fact("progression", header.progression.name)
    yield Fact("quality layers", header.layers)
    yield Fact("precincts", _precincts(coding))
    yield Fact("code blocks", f"{1 << coding.block_width} x {1 << coding.block_height}")
    yield Fact("code-block coder", "HT (ITU-T T.814)" if coding.high_throughput else f"EBCOT{_style(coding)}")
    yield Fact("wavelet", "5-3, reversible" if coding.reversible else "9-7, irreversible")
    yield Fact("component transform", header.component_transform)
    yield Fact("packet lengths (PLT)", packet_lengths)
    yield Fact("tile-part lengths (TLM)", header.has(Marker.TLM))
    yield Fact(
        "packet marks", " ".join(name for name, has in (("SOP", header.sop), ("EPH", header.eph)) if has) or "none"
    )
    yield Fact("tile-parts found by", _tile_parts(header))


def image_facts(image: OpenedImage) -> Sequence[Fact]:
    """Return what an opened image is."""
    facts = [*header_facts(image.header, image.codestream.length, image.color, packet_lengths=image.packet_lengths)]
    return [
        *facts,
        Fact("packets found by", "an index of their lengths" if image.indexed else "nothing: no usable packet lengths"),
        Fact("decoded at once", NOT_SEPARATE[image.unit]),
        Fact("windows cut out of the tile", image.cuttable),
        Fact("bits may be left out", image.may_lose),
    ]


def window_facts(image: OpenedImage, window: Jp2Window, counted: Sequence[Census | None]) -> Sequence[Fact]:
    """Return what decoding a window takes; `counted` are its parts, None those whose packets are not found."""
    found = [each for each in counted if each is not None]
    if len(found) < len(counted):
        return [Fact("decoded from", _whole(image))]
    return [
        Fact("decoded from", _source(window, found)),
        Fact("packets", f"{sum(each.packets for each in found)} of {sum(each.of_packets for each in found)}"),
        Fact("code blocks", sum(each.blocks for each in found)),
        *loss_facts(image.header, window.level, _loss(window)),
    ]


def loss_facts(header: MainHeader, level: int, loss: Loss | None) -> Iterator[Fact]:
    """Yield what is left out of windows of a level."""
    if loss is None:
        yield Fact("bit planes left out", "none")
        return
    yield Fact("bit planes left out", dropped_text(header, level, loss))
    if loss.margin:
        yield Fact("bit planes left out beside the window", loss.margin)
    if loss.layers is not None and loss.layers < header.layers:
        yield Fact("quality layers read", f"{loss.layers} of {header.layers}")


def dropped_text(header: MainHeader, level: int, loss: Loss) -> str:
    """Return the bit planes left out of the two finest resolutions of each component, as `Y: HL 1, LH 1, HH 3 …`."""
    names = ("Y", "Cb", "Cr") if header.component_transform else ("1", "2", "3")
    parts = []
    for name, planes in zip(names, dropped_planes(header, level, loss)[:COLORS], strict=False):
        finest = [
            f"{', '.join(f'{band} {count}' for band, count in zip(BANDS, resolution, strict=True))}"
            for resolution in reversed(planes[-DEPTHS:])
            if any(resolution)
        ]
        parts.append(f"{name}: {'; then '.join(finest) or 'none'}")
    return " | ".join(parts)


def _loss(window: Jp2Window) -> Loss | None:
    return window.parts[0].window.loss if window.parts else window.loss


def _source(window: Jp2Window, found: Sequence[Census]) -> str:
    if window.parts:
        return f"{len(window.parts)} codestreams cut out of the tile"
    tiles = f"{found[0].tiles} tiles" if found[0].tiles > 1 else "1 tile"
    return "a codestream cut out of the tile" if window.cut else f"a small codestream of {tiles}"


def _whole(image: OpenedImage) -> str:
    if image.unit == DecodeUnit.IMAGE or image.header.geometry.columns * image.header.geometry.rows == 1:
        return "the whole file"
    return (
        "the whole file, tile by tile"
        if image.unit == DecodeUnit.TILE
        else "the whole file, of which tiles are skipped"
    )


def _components(components: Sequence[Component]) -> str:
    """Return the components, as `3 of 8 bits`, or each by itself if they differ."""
    groups = [(len([*group]), each) for each, group in groupby(components)]
    return ", ".join(f"{count} of {_component(each)}" for count, each in groups)


def _component(component: Component) -> str:
    sign = " signed" if component.signed else ""
    sampled = "" if component.dx == component.dy == 1 else f" ({component.dx}x{component.dy} pixels a sample)"
    return f"{component.precision}{sign} bits{sampled}"


def _precincts(coding: Coding) -> str:
    """Return the precincts of each resolution, the finest first; alike ones once."""
    if all(size == (LARGEST, LARGEST) for size in coding.precincts):
        return "none: each resolution is one"
    sides = [f"{1 << x} x {1 << y}" for x, y in reversed(coding.precincts)]
    return ", ".join(dict.fromkeys(sides))


def _style(coding: Coding) -> str:
    names = [name for bit, name in enumerate(STYLES) if coding.block_style >> bit & 1]
    return f", {', '.join(names)}" if names else ""


def _tile_parts(header: MainHeader) -> str:
    if header.has(Marker.TLM):
        return "TLM, at once"
    return "walking from one to the next"
