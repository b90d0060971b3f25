"""Images that a slide holds beside its own: `slide.svs;label`, if the operator allows it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import falcon.testing
import numpy as np
import openslide
import pytest
from PIL import Image
from sidecar_openslide.sample import pyramid, tissue, write_svs

from sidecar.plugin import Pixels, Size
from sidecar.testing.fakes import MemoryBlob, on_disk
from tests.unit.http.slide_site import DECODERS, served

NAMES: Final = ("label", "macro", "thumbnail")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a slide with a label, a macro image and a thumbnail."""
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    levels = pyramid(tissue(Size(768, 512)), [Size(192, 128)])
    write_svs(path, levels, label=tissue(Size(301, 203), 2), macro=tissue(Size(640, 251), 3))
    return path


def reference(path: Path, name: str) -> Pixels:
    """What OpenSlide shows, on white."""
    with openslide.OpenSlide(str(path)) as slide:
        image = slide.associated_images[name]
        return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def pixels(result: falcon.testing.Result) -> Pixels:
    """What a response shows."""
    assert result.status_code == 200, result.text
    with Image.open(io.BytesIO(result.content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("decoders", sorted(DECODERS))
@pytest.mark.parametrize("name", NAMES)
def test_pixels(path: Path, name: str, decoders: str) -> None:
    """The image of each name, whole and in part, has the pixels that OpenSlide has for it."""
    wanted = reference(path, name)
    with served(on_disk(path), decoders, associated_images=NAMES) as ask:
        whole = pixels(ask(f"3/slide.svs;{name}/full/max/0/default.png"))
        part = pixels(ask(f"3/slide.svs;{name}/11,31,70,60/max/0/default.png"))
    assert np.abs(whole.astype(int) - wanted).max() <= 1
    assert np.array_equal(part, whole[31:91, 11:81])


@pytest.mark.parametrize("decoders", sorted(DECODERS))
def test_information(path: Path, decoders: str) -> None:
    """Each has an info.json of its own, under its own identifier, percent-encoded or not, and scale constraints."""
    with served(on_disk(path), decoders, associated_images=NAMES, min_size=1) as ask:
        plain = ask("3/slide.svs;label/info.json").json
        assert plain["id"].endswith("/slide.svs;label")
        assert (plain["width"], plain["height"]) == (301, 203)
        encoded = ask("3/slide.svs%3Blabel/info.json").json
        assert encoded == {**plain, "id": encoded["id"]}
        halved = ask("3/slide.svs;macro;1:2/info.json").json
        assert (halved["width"], halved["height"]) == (320, 126)
        whole = ask("3/slide.svs/info.json").json
        assert (whole["width"], whole["height"]) == (768, 512)


@pytest.mark.parametrize("allowed", [(), ("macro", "thumbnail")])
def test_what_is_not_allowed(path: Path, allowed: Sequence[str]) -> None:
    """Without a setting there is no label, nor if only others are allowed: the name is then a file's, which is not."""
    with served(on_disk(path), "both", associated_images=allowed) as ask:
        for words in (
            "slide.svs;label/full/max/0/default.png",
            "slide.svs;label/info.json",
            "slide.svs%3blabel/info.json",
        ):
            assert ask(f"3/{words}").status_code == 404
        assert ask("3/slide.svs/info.json").status_code == 200


def test_none_of_that_name(tmp_path: Path) -> None:
    """A slide without a label has none to show: 404, from memory the second time."""
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid(tissue(Size(768, 512)), [Size(192, 128)]))
    for decoders in DECODERS:
        with served(on_disk(path), decoders, associated_images=NAMES) as ask:
            assert [ask("3/slide.svs;label/info.json").status_code for _ in range(2)] == [404, 404]
            assert ask("3/slide.svs;thumbnail/info.json").status_code == 200


def test_validators(path: Path) -> None:
    """Slide, label and macro image have different ETags for the same words, and each answers its own with 304."""
    with served(on_disk(path), "both", associated_images=NAMES) as ask:
        tags = [
            ask(f"3/slide.svs{end}/0,0,50,50/max/0/default.png").headers["ETag"] for end in ("", ";label", ";macro")
        ]
        assert len({*tags}) == 3
        again = ask("3/slide.svs;label/0,0,50,50/max/0/default.png", **{"If-None-Match": tags[1]})
        assert again.status_code == 304


def test_from_afar(path: Path) -> None:
    """A slide without a path, as one in a bucket, shows them too, by ranges."""
    far = MemoryBlob("slide.svs", path.read_bytes())
    with served(far, "both", associated_images=NAMES) as ask:
        for name in NAMES:
            found = pixels(ask(f"3/slide.svs;{name}/full/max/0/default.png"))
            assert np.abs(found.astype(int) - reference(path, name)).max() <= 1
