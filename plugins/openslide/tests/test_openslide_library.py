"""How the whole-slide decoder finds OpenSlide, sets it up and speaks of its errors."""

from __future__ import annotations

import sys
from pathlib import Path

import openslide
import pytest
import sidecar_openslide
from sidecar_openslide import OpenSlideSettings
from sidecar_openslide.library import load
from sidecar_openslide.sample import make
from sidecar_openslide.settings import SUFFIXES

from sidecar.config import load as load_settings
from sidecar.plugin import Config, DecodeError, StartError, Unsupported, run_inline

APERIO = Path(__file__).parents[3] / "tests" / "data" / "images" / "slide.svs"


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenSlide the start fails and says what to install."""
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(StartError, match="openslide-bin"):
        load(0)


@pytest.mark.parametrize("version", ["3.4.1", "4.0.0", "4.0.0-12-gabcdef"])
def test_unsafe_versions(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """A version with known holes is not used."""
    monkeypatch.setattr(openslide, "__library_version__", version)
    with pytest.raises(StartError, match=r"4\.0\.1"):
        load(0)


@pytest.mark.parametrize("version", ["4.0.1", "4.0.2-nightly.20270101", "4.1.0", "10.0"])
def test_safe_versions(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Any later one is."""
    monkeypatch.setattr(openslide, "__library_version__", version)
    assert load(0).module is openslide


@pytest.mark.parametrize("kind", [openslide.OpenSlideError, *openslide.OpenSlideError.__subclasses__()])
def test_every_error_is_ours(kind: type[Exception]) -> None:
    """All that openslide-python raises on its own becomes an error of ours, its text kept."""
    with pytest.raises(DecodeError, match="told"), load(0).errors_as(DecodeError):
        raise kind("told")


def test_one_cache_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every slide is given the same cache."""
    given: list[object] = []
    monkeypatch.setattr(openslide.OpenSlide, "set_cache", lambda _, cache: given.append(cache))
    library = load(2**20)
    for _ in range(2):
        library.open(APERIO).close()
    assert given == [library.cache] * 2


def test_not_a_slide(tmp_path: Path) -> None:
    """What OpenSlide does not open is unsupported."""
    path = tmp_path / "text.svs"
    path.write_text("text")
    with pytest.raises(Unsupported):
        load(0).open(path)


def test_registered_as_set() -> None:
    """The plugin registers one decoder, for the suffixes that are set."""
    config = Config.of(OpenSlideSettings(cache_bytes=0, suffixes=(".SVS", "ndpi")))
    (decoder,) = sidecar_openslide.register_decoders(config, run_inline)
    assert decoder.suffixes == {"svs", "ndpi"}


def test_settings_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has its variable; a cache of less than nothing is refused by name."""
    kinds = [*sidecar_openslide.register_settings()]
    monkeypatch.setenv("SIDECAR_OPENSLIDE_CACHE_BYTES", "1000")
    monkeypatch.setenv("SIDECAR_OPENSLIDE_SUFFIXES", "svs, ndpi")
    assert load_settings(kinds).section(OpenSlideSettings) == OpenSlideSettings(
        cache_bytes=1000, suffixes=("svs", "ndpi")
    )
    monkeypatch.setenv("SIDECAR_OPENSLIDE_CACHE_BYTES", "-1")
    with pytest.raises(StartError, match="SIDECAR_OPENSLIDE_CACHE_BYTES"):
        load_settings(kinds)


def test_readme_has_every_setting() -> None:
    """Each setting and each suffix stands in the README."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert all(f"`{OpenSlideSettings.variable(name)}`" in readme for name in OpenSlideSettings.model_fields)
    formats = readme.partition("| suffixes |")[2].partition("\n\n")[0]
    listed = [row.split("|")[2] for row in formats.splitlines()[2:]]
    assert {suffix.strip() for suffixes in listed for suffix in suffixes.split(",")} == {*SUFFIXES}


def test_sample(tmp_path: Path) -> None:
    """The slide made for trying things out is one that OpenSlide takes for Aperio's, with three levels."""
    make(tmp_path / "sample.svs", width=700, height=500)
    with openslide.OpenSlide(tmp_path / "sample.svs") as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert slide.level_dimensions == ((700, 500), (175, 125), (43, 31))
