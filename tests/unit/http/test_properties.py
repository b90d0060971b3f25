"""`properties.json`, and what info.json says of a slide beyond Cantaloupe's: all of it off unless it is set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import openslide
import pytest
from sidecar_openslide.sample import pyramid, tissue, write_svs

from sidecar.plugin import Size
from sidecar.testing.fakes import on_disk
from tests.unit.http.slide_site import DECODERS, served

PROFILE: Final = "http://iiif.io/api/annex/services/physdim"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a slide of half a micrometre a pixel."""
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_svs(path, pyramid(tissue(Size(768, 512)), [Size(192, 128)]), label=tissue(Size(301, 203), 2))
    return path


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_what_is_allowed(path: Path, decoder: str) -> None:
    """Properties that are allowed are shown with OpenSlide's values, others are not; both versions have them."""
    allowed = ("openslide.mpp-*", "aperio.AppMag", "openslide.vendor", "openslide.objective-power", "tiff.Make")
    with openslide.OpenSlide(str(path)) as slide:
        every = dict(slide.properties)
    wanted = {name: every[name] for name in ("openslide.mpp-x", "openslide.mpp-y", "aperio.AppMag")}
    wanted |= {name: every[name] for name in ("openslide.vendor", "openslide.objective-power")}
    with served(on_disk(path), decoder, properties=allowed) as ask:
        for version in (2, 3):
            found = ask(f"{version}/slide.svs/properties.json")
            assert (found.status_code, found.headers["Content-Type"]) == (200, "application/json")
            assert found.json == wanted
            assert found.headers["Access-Control-Allow-Origin"] == "*"
            tag = {"If-None-Match": found.headers["ETag"]}
            assert ask(f"{version}/slide.svs/properties.json", **tag).status_code == 304


def test_all_of_the_direct_decoder_are_openslides(path: Path) -> None:
    """Whatever the direct decoder states of a slide, OpenSlide states too, in the same words."""
    with openslide.OpenSlide(str(path)) as slide:
        every = dict(slide.properties)
    with served(on_disk(path), "direct", properties=("*",)) as ask:
        found = ask("3/slide.svs/properties.json").json
    assert found.items() <= every.items()
    assert found["tiff.ImageDescription"].startswith("Aperio")
    assert {name for name in every if name.startswith("openslide.associated.")} <= found.keys()


@pytest.mark.parametrize("allowed", [(), ("leica.*",)])
def test_what_is_not_allowed(path: Path, allowed: Sequence[str]) -> None:
    """Without a setting, or if no property of the slide is allowed, there is no document, and no link to one."""
    for decoder in DECODERS:
        with served(on_disk(path), decoder, properties=allowed) as ask:
            assert ask("3/slide.svs/properties.json").status_code == 404
            assert "seeAlso" not in ask("3/slide.svs/info.json").json


def test_the_link(path: Path) -> None:
    """info.json of version 3 leads to the document; that of version 2, which has no such field, is as ever."""
    with served(on_disk(path), "direct") as plain:
        before = plain("2/slide.svs/info.json").json
    with served(on_disk(path), "direct", properties=("aperio.*",)) as ask:
        (link,) = ask("3/slide.svs/info.json").json["seeAlso"]
        assert link["id"].endswith("/iiif/3/slide.svs/properties.json")
        assert (link["type"], link["format"]) == ("Dataset", "application/json")
        assert ask("2/slide.svs/info.json").json == before


def test_labels_have_none(path: Path) -> None:
    """The label of a slide has no properties of its own."""
    with served(on_disk(path), "openslide", properties=("*",), associated_images=("label",)) as ask:
        assert ask("3/slide.svs;label/properties.json").status_code == 404
        assert "seeAlso" not in ask("3/slide.svs;label/info.json").json


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_physical_scale(path: Path, decoder: str) -> None:
    """If it is set, info.json says how large a pixel is; if not, it has no service, as Cantaloupe's."""
    with served(on_disk(path), decoder, info_physical_scale=True) as ask:
        for version in (2, 3):
            (service,) = ask(f"{version}/slide.svs/info.json").json["service"]
            assert service["profile"] == PROFILE
            assert (service["physicalScale"], service["physicalUnits"]) == (0.000499, "mm")
    with served(on_disk(path), decoder) as ask:
        assert "service" not in ask("3/slide.svs/info.json").json


def test_beside_services_of_others(path: Path) -> None:
    """The services of an authorization service follow it, and their context still goes before the document's."""
    probe = {"@context": "http://iiif.io/api/auth/2/context.json", "id": "https://a/probe", "type": "AuthProbeService2"}
    settings = {"info_physical_scale": True, "info_services": True}
    with served(on_disk(path), "direct", **settings) as ask:
        found = ask("3/slide.svs/info.json", **{"X-Sidecar-Services": json.dumps([probe])}).json
    assert [each.get("profile") or each["type"] for each in found["service"]] == [PROFILE, "AuthProbeService2"]
    assert found["@context"][0] == probe["@context"]
