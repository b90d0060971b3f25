"""What is found before anything is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar import startup
from sidecar.config import Section, Settings


class Extra(Section):
    """A plugin's settings."""

    table = "extra"
    root: str = ""


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("SIDECAR_WORKER", "SIDECAR_WORKERS"),
        ("SIDECAR_EXTRA_ROOTS", "SIDECAR_EXTRA_ROOT"),
        ("sidecar_cantaloup_url", "SIDECAR_CANTALOUPE_URL"),
    ],
)
def test_a_slip_of_the_pen_is_told_with_what_was_meant(name: str, nearest: str) -> None:
    """A variable that is no setting is named beside the setting it comes closest to."""
    (line,) = startup.unknown_variables([Settings, Extra], {name: "x"})
    assert line == f"{name} is not a setting; did you mean {nearest}?"


def test_what_is_like_no_setting_is_told_alone() -> None:
    """Where nothing comes close, nothing is proposed."""
    (line,) = startup.unknown_variables([Settings], {"SIDECAR_ZZZZZZZZZZZZZZZZZZZZ": "x"})
    assert line == "SIDECAR_ZZZZZZZZZZZZZZZZZZZZ is not a setting"


def test_settings_and_other_variables_are_no_slips() -> None:
    """Every setting of every section, the files' variables and what is not ours pass in silence."""
    known = {kind.variable(name): "x" for kind in (Settings, Extra) for name in kind.model_fields}
    known |= {"SIDECAR_CONFIG": "x", "SIDECAR_CANTALOUPE_CONFIG": "x", "HOME": "x", "SIDECARS": "x"}
    assert [*startup.unknown_variables([Settings, Extra], known)] == []


def test_cantaloupes_settings_lie_below_the_toml_file(tmp_path: Path) -> None:
    """A value of Cantaloupe holds where the TOML file says nothing, and each value knows where it came from."""
    properties, toml = tmp_path / "cantaloupe.properties", tmp_path / "sidecar.toml"
    properties.write_text("max_pixels = 1234\nendpoint.iiif.min_size = 32\n")
    toml.write_text("min_size = 128\n")
    found = startup.setup({startup.CANTALOUPE: str(properties), startup.TOML: str(toml)})
    core, origins = found.config.core, found.config.origins
    assert (core.max_pixels, origins["", "max_pixels"]) == (1234, str(properties))
    assert (core.min_size, origins["", "min_size"]) == (128, str(toml))
