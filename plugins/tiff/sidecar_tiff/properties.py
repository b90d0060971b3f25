"""What a slide says of itself, under the names that OpenSlide has for it, and how large its pixels are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sidecar.plugin import pixel_side
from sidecar_tiff import tags
from sidecar_tiff.pages import Page

_SEPARATOR: Final = "|"
_TEXTS: Final = {
    tags.DESCRIPTION: "tiff.ImageDescription",
    tags.MAKE: "tiff.Make",
    tags.SOFTWARE: "tiff.Software",
}
_COPIES: Final = {
    "aperio.MPP": ("openslide.mpp-x", "openslide.mpp-y"),
    "aperio.AppMag": ("openslide.objective-power",),
}
"""What OpenSlide shows under a name of its own too, as a number."""
_THUMBNAIL: Final = 1
"""The directory that holds it."""
_SUBFILES: Final = {1: "label", 9: "macro"}
"""Names by what the field NewSubfileType says."""
_MICROMETRES: Final = {2: 25_400.0, 3: 10_000.0}
"""In a unit of resolution, an inch or a centimetre (TIFF 6.0 section 8)."""
_INCH: Final = 2


def associated_pages(pages: Sequence[Page]) -> Mapping[str, Page]:
    """Return the directories of the images that an Aperio slide holds beside its own, by name as OpenSlide has them."""
    stripped = [(index, page) for index, page in enumerate(pages) if tags.TILE_WIDTH not in page.tags]
    named = {
        "thumbnail" if index == _THUMBNAIL else _SUBFILES.get(page.number(tags.SUBFILE, 0)): page
        for index, page in stripped
    }
    return {name: page for name, page in named.items() if name}


def properties_of(pages: Sequence[Page], *, aperio: bool) -> Mapping[str, str]:
    """Return the properties of a slide by its directories."""
    first = pages[0]
    texts = {name: _text(first.texts[tag]) for tag, name in _TEXTS.items() if tag in first.texts}
    description = texts.get("tiff.ImageDescription", "")
    own = dict(_aperio(description)) if aperio else {}
    copies = {
        copy: f"{number:.15g}"
        for name, copies in _COPIES.items()
        if (number := _number(own.get(name, ""))) is not None
        for copy in copies
    }
    comment = {"openslide.comment": description} if aperio and description else {}
    vendor = {"openslide.vendor": "aperio" if aperio else "generic-tiff"}
    return {**texts, **own, **copies, **comment, **vendor, **(dict(_associated(pages)) if aperio else {})}


def pixel_micrometres(first: Page, properties: Mapping[str, str]) -> float | None:
    """Return the side of a pixel; None if it is not stated, not square, or nothing that anybody measured."""
    if "openslide.mpp-x" in properties:
        return _number(properties["openslide.mpp-x"])  # the only side that Aperio states
    unit = _MICROMETRES.get(first.number(tags.RESOLUTION_UNIT, _INCH))
    ratios = [first.numbers.get(tag, ()) for tag in (tags.X_RESOLUTION, tags.Y_RESOLUTION)]
    if unit is None or not all(len(ratio) == 2 and all(ratio) for ratio in ratios):  # noqa: PLR2004  # a ratio's numbers
        return None
    across, down = (unit * ratio[1] / ratio[0] for ratio in ratios)
    return pixel_side(across, down, measured=False)


def _aperio(description: str) -> Iterator[tuple[str, str]]:
    """Yield what stands as `name = value` between bars, behind the first part."""
    for part in description.split(_SEPARATOR)[1:]:
        name, equals, value = part.partition("=")
        if equals:
            yield f"aperio.{name.strip()}", value.strip()


def _associated(pages: Sequence[Page]) -> Iterator[tuple[str, str]]:
    """Yield the sizes of images beside the slide's own."""
    for name, page in associated_pages(pages).items():
        for side, tag in (("width", tags.WIDTH), ("height", tags.LENGTH)):
            yield f"openslide.associated.{name}.{side}", str(page.number(tag, 0))


def _text(data: bytes) -> str:
    """Return a field of text, up to its first NUL; what is not UTF-8 is taken for Latin-1."""
    plain = data.partition(b"\0")[0]
    try:
        return plain.decode()
    except UnicodeDecodeError:
        return plain.decode("latin-1")


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and found > 0 else None
