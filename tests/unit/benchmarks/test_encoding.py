"""The recipes of docs/encoding.md make what their names say, and the page shows what was measured."""

from __future__ import annotations

import re
from math import isnan
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind

from sidecar.testing.fakes import on_disk
from tests.benchmarks.encoding import pages
from tests.benchmarks.encoding.recipes import BASE, RECIPES, Recipe
from tests.benchmarks.encoding.results import EIGHTH, EXACT, FIRST, FULL, KNOWN, UNKNOWN, WHOLE, Case, Fetch, Results

WIDTH: Final = 330


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy picture as TIFF."""
    path = tmp_path_factory.mktemp("picture") / "picture.tif"
    Image.fromarray(np.random.default_rng(3).integers(90, 140, (280, WIDTH, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_makes_what_its_name_says(recipe: Recipe, picture: Path, tmp_path: Path) -> None:
    """Tiles, precincts, packet lengths, layers, progression, wavelet and coder of the file are those of the name."""
    if recipe.missing:
        pytest.skip(f"{recipe.program} is not installed")
    path = tmp_path / recipe.file_name
    recipe.encode(picture, path)
    facts: dict[str, Any] = dict(Jp2Decoder(OpenJpeg(bind())).open(on_disk(path)).facts())
    side = next(iter(re.findall(r"tiles of (\d+)", recipe.name)), "100000")
    assert facts["tiles"].endswith(f"{side} x {side} pixels" if int(side) < WIDTH else "the whole image")
    assert facts["packet lengths (PLT)"] == ("PLT" in recipe.name)
    assert facts["precincts"].startswith("256 x 256, 128 x 128" if "precincts" in recipe.name else "none")
    assert facts["quality layers"] == (12 if "12 layers" in recipe.name else 1)
    assert facts["wavelet"].startswith("5-3" if "lossless" in recipe.group else "9-7")
    assert facts["code-block coder"].startswith("HT" if "HTJ2K" in recipe.group else "EBCOT")
    assert facts["code blocks"] == ("32 x 32" if "blocks of 32" in recipe.name else "64 x 64")


def test_recipes_are_told_apart() -> None:
    """No two have one title, file or command; the base is among them."""
    for names in ([each.title for each in RECIPES], [each.file_name for each in RECIPES], [*pages.commands()[1]]):
        assert len({*map(str, names)}) == len(RECIPES)
    assert BASE in RECIPES


def case(title: str, factor: float, *, error: float = 0.0, near: bool = True) -> Case:
    """A file that takes some times as long as another."""
    times = {kind: [0.01 * factor, 0.03 * factor, 0.02 * factor] for kind in (FULL, EIGHTH, EXACT, WHOLE, FIRST)}
    fetches = {
        f"{kind}, {known}": [Fetch(2, 1_000_000), Fetch(3, 3_000_000), Fetch(2, 2_000_000)] if near else []
        for kind in (FULL, EIGHTH)
        for known in (UNKNOWN, KNOWN)
    }
    return Case(title, 500_000, error, 30.0, times, fetches)


def test_the_page_shows_medians_and_ratios() -> None:
    """Rows have bits a pixel, decibels, medians and how many times the base's they are, rounds at most and MB."""
    cases = [case(BASE.title, 1), case("twice", 2, error=6.5025, near=False)]
    results = Results("a machine", "2026-03-01", 1_000_000, BASE.title, ["grk"], cases)
    _, (base, twice) = pages.work(results)
    assert base[1:5] == ("4.00", "lossless, 33.4", "20.0", "20.0")
    assert twice[1:5] == ("4.00", "40.0, 33.4", "40.0 (2.00)", "40.0 (2.00)")
    _, (first, second) = pages.far(results)
    assert first[1:] == ("3, 2.00",) * 4
    assert second[1:] == ("handed over",) * 4
    assert pages.machine(results).endswith("a machine. Not measured, since the encoder was not there: grk.")
    series = [plot.chart.series for _, plot in pages.plots(results)]
    assert series[0] == {FULL: [20.0, 40.0], EIGHTH: [20.0, 40.0]}
    assert [[values[0], isnan(values[1])] for values in series[1].values()] == [[2.0, True]] * 2
