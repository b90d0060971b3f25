"""Tiles of slides over WSGI, by libraries that have no server: what somebody would write for a viewer in an hour.

It imports the chosen library, Pillow and nothing of the project, for it runs in environments of others, too. It knows
as much of the Image API's URLs as the benchmarks ask for.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import version as of
from pathlib import Path
from typing import Any, Final, NamedTuple

TILE: Final = 512
SUBSAMPLING_420: Final = 2
"""As Pillow and large_image number it."""
WORDS: Final = re.compile(r"/iiif/2/([^/]+)/(?:info\.json|(full|\d+,\d+,\d+,\d+)/(full|\d+),?/0/default\.jpg)")


class Wanted(NamedTuple):
    """A region, in pixels of the finest level, and how wide it shall be."""

    left: int
    top: int
    width: int
    height: int
    wide: int


class DeepZoom:
    """OpenSlide with its DeepZoom generator."""

    def __init__(self, path: str, quality: int) -> None:
        from openslide import OpenSlide  # noqa: PLC0415  # only one of the libraries is there
        from openslide.deepzoom import DeepZoomGenerator  # noqa: PLC0415  # only one of the libraries is there

        self._slide, self._quality = OpenSlide(path), quality
        self._tiles = DeepZoomGenerator(self._slide, tile_size=TILE, overlap=0)
        self.size = self._slide.dimensions

    def jpeg(self, wanted: Wanted) -> bytes:
        """Return a tile of its grid as DeepZoom makes it, and other regions as OpenSlide reads them."""
        scale = round(wanted.width / wanted.wide)
        if wanted.width == self.size[0]:
            image = self._slide.get_thumbnail((wanted.wide, wanted.wide))
        elif scale & (scale - 1) or wanted.left % (TILE * scale) or wanted.top % (TILE * scale):
            image = self._slide.read_region((wanted.left, wanted.top), 0, (wanted.width, wanted.height)).convert("RGB")
        else:
            level = self._tiles.level_count - scale.bit_length()
            image = self._tiles.get_tile(level, (wanted.left // TILE // scale, wanted.top // TILE // scale))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=self._quality, subsampling=SUBSAMPLING_420)
        return file.getvalue()


class LargeImage:
    """large_image, with the source that it chooses."""

    def __init__(self, path: str, quality: int) -> None:
        import large_image  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        self._source = large_image.open(path)
        self._format = {"encoding": "JPEG", "jpegQuality": quality, "jpegSubsampling": SUBSAMPLING_420}
        self.size = self._source.sizeX, self._source.sizeY

    def jpeg(self, wanted: Wanted) -> bytes:
        """Return a region."""
        data, _ = self._source.getRegion(
            region={
                "left": wanted.left,
                "top": wanted.top,
                "width": wanted.width,
                "height": wanted.height,
                "units": "base_pixels",
            },
            output={"maxWidth": wanted.wide},
            **self._format,
        )
        return bytes(data)


LIBRARIES: Final[dict[str, Callable[[str, int], Any]]] = {"deepzoom": DeepZoom, "large_image": LargeImage}


def application(library: str, folder: str, quality: int) -> Callable[..., Iterable[bytes]]:
    """Return the WSGI application that serves the slides of a folder."""
    opened = lru_cache(maxsize=16)(lambda name: LIBRARIES[library](str(Path(folder, name)), quality))

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = WORDS.fullmatch(environ["PATH_INFO"])
        if not found or not Path(folder, found[1]).exists():
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        slide = opened(found[1])
        if found[2]:
            kind, body = "image/jpeg", slide.jpeg(_wanted(slide.size, found[2], found[3]))
        else:
            kind, body = (
                "application/json",
                json.dumps(dict(zip(("width", "height"), slide.size, strict=True))).encode(),
            )
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _wanted(size: tuple[int, int], region: str, wide: str) -> Wanted:
    left, top, width, height = (0, 0, *size) if region == "full" else map(int, region.split(","))
    return Wanted(left, top, width, height, width if wide == "full" else int(wide))


def version(library: str) -> str:
    """Return the versions of a library and of what it reads slides with."""
    import openslide  # noqa: PLC0415  # only one of the libraries is there

    beneath = f"OpenSlide {openslide.__library_version__}, Pillow {of('pillow')}"
    return (
        f"{of('large-image')}, {beneath}"
        if library == "large_image"
        else f"openslide-python {of('openslide-python')}, {beneath}"
    )
