"""Requests whose right responses are known: made while nothing fails, and compared with those of other decoders."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from sidecar.plugin import Pixels, Rect
from tests.nginx.peers import ask
from tests.resilience.site import Site

JP2S: Final = (
    "tiled_512.jp2",
    "tiled_256_tlm_plt.jp2",
    "untiled_precincts_plt_layers.jp2",
    "odd_1023x767_tiled_300.jp2",
)
SLIDE: Final = "slide.svs"
SIDE: Final = 256
PLACES: Final = ((0, 0), (511, 255))


@dataclass(frozen=True, slots=True)
class Question:
    """A region in full size, or all of an image, as PNG: every pixel counts."""

    name: str
    region: Rect | None = None

    @property
    def target(self) -> str:
        """Its URL."""
        part = "full" if self.region is None else _written(self.region)
        return f"/iiif/3/{self.name}/{part}/max/0/default.png"


def _written(region: Rect) -> str:
    return f"{region.x},{region.y},{region.width},{region.height}"


TILES: Final = tuple(Question(name, Rect(x, y, SIDE, SIDE)) for name in (*JP2S, SLIDE) for x, y in PLACES)
WHOLES: Final = tuple(map(Question, (JP2S[0], JP2S[3])))


def pixels(body: bytes) -> Pixels:
    """What an answer shows."""
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        return np.asarray(image)


def truths(site: Site, folder: Path, questions: Sequence[Question]) -> dict[str, bytes]:
    """Return the responses by URL, checked. Raises AssertionError if the sidecar is wrong while nothing fails."""
    found = {}
    for question in questions:
        answer = ask(site.port, question.target)
        assert answer.headers["Content-Type"] == "image/png", question
        wrong = np.abs(pixels(answer.body).astype(int) - _reference(folder / question.name, question.region))
        # Irreversible wavelets in floating point are off by one here and there.
        assert wrong.max() <= 1, question
        found[question.target] = answer.body
    return found


def _reference(path: Path, region: Rect | None) -> Pixels:
    """The pixels as OpenJPEG by way of Pillow makes them, or OpenSlide's own."""
    if path.suffix == ".svs":
        import openslide  # noqa: PLC0415  # only slides take it

        with openslide.OpenSlide(path) as slide:
            area = region or Rect(0, 0, *slide.dimensions)
            return np.asarray(slide.read_region((area.x, area.y), 0, (area.width, area.height)).convert("RGB"))
    with Image.open(path) as image:
        whole = np.asarray(image)
    return whole if region is None else whole[region.y : region.bottom, region.x : region.right]
