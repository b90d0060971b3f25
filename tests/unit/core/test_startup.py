"""Settings and warnings that are found before anything is served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from sidecar import cantaloupe, startup
from sidecar.config import Settings, core, load, renamed_keys, settable, shown
from sidecar.errors import StartError
from sidecar.plugin import LookupSettings, Section


class Extra(Section):
    """A plugin's settings."""

    table: ClassVar[str] = "extra"
    renamed: ClassVar[Mapping[str, str]] = {"base": "root"}
    root: str = ""


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("SIDECAR_WORKER", "SIDECAR_WORKERS"),
        ("SIDECAR_EXTRA_ROOTS", "SIDECAR_EXTRA_ROOT"),
        ("sidecar_cantaloup_url", "SIDECAR_CANTALOUPE_URL"),
    ],
)
def test_a_misspelt_variable_is_reported_with_the_nearest_setting(name: str, nearest: str) -> None:
    """A variable that is no setting is reported with the setting that it is most like."""
    (line,) = startup.unknown_variables([Settings, Extra], {name: "x"})
    assert line == f"{name} is not a setting; did you mean {nearest}?"


def test_a_variable_like_no_setting_is_reported_alone() -> None:
    """If no setting is like it, none is proposed."""
    (line,) = startup.unknown_variables([Settings], {"SIDECAR_ZZZZZZZZZZZZZZZZZZZZ": "x"})
    assert line == "SIDECAR_ZZZZZZZZZZZZZZZZZZZZ is not a setting"


def test_settings_and_other_variables_are_not_reported() -> None:
    """Settings of every section, the variables of the files and variables that are not ours are not reported."""
    known = {kind.variable(name): "x" for kind in (Settings, Extra) for name in settable(kind)}
    known |= {"SIDECAR_CONFIG": "x", "SIDECAR_CANTALOUPE_CONFIG": "x", "HOME": "x", "SIDECARS": "x"}
    assert [*startup.unknown_variables([Settings, Extra], known)] == []


def test_cantaloupes_settings_lie_below_the_toml_file(tmp_path: Path) -> None:
    """A value of Cantaloupe counts unless the TOML file has one; each value knows where it came from."""
    properties, toml = tmp_path / "cantaloupe.properties", tmp_path / "sidecar.toml"
    properties.write_text("max_pixels = 1234\nendpoint.iiif.min_size = 32\n")
    toml.write_text("min_size = 128\n")
    found = startup.setup({startup.CANTALOUPE: str(properties), startup.TOML: str(toml)})
    settings, origins = core(found.config), found.config.origins
    assert (settings.max_pixels, origins["", "max_pixels"]) == (1234, str(properties))
    assert (settings.min_size, origins["", "min_size"]) == (128, str(toml))


def test_former_names_are_reported() -> None:
    """A variable of a former name is reported with the present one, of the core and of a plugin alike."""
    names = {"SIDECAR_PATIENCE": "9", "sidecar_extra_base": "x"}
    assert [*startup.unknown_variables([Settings, Extra], names)] == [
        "SIDECAR_PATIENCE is now called SIDECAR_QUEUE_TIMEOUT",
        "sidecar_extra_base is now called SIDECAR_EXTRA_ROOT",
    ]


def test_former_names_in_a_file_are_read_and_reported(tmp_path: Path) -> None:
    """A key of a former name in the TOML file counts, and a warning names the present one."""
    toml = tmp_path / "sidecar.toml"
    toml.write_text("patience = 9\nworkers = 3\n")
    found = startup.setup({startup.TOML: str(toml)})
    assert core(found.config).queue_timeout == 9
    assert [*found.warnings] == [f"{toml}: patience is now called queue_timeout"]


def test_former_names_in_a_table_of_a_file_are_reported(tmp_path: Path) -> None:
    """A key in the table of a plugin is reported with its table."""
    toml = tmp_path / "sidecar.toml"
    toml.write_text('[extra]\nbase = "x"\nroot = "y"\n')
    assert [*renamed_keys([Settings, Extra], toml)] == [f"{toml}: extra.base is now called extra.root"]


class Files(LookupSettings):
    """Settings of a source that may look up."""

    table: ClassVar[str] = "files"


def lines(tmp_path: Path, script: str, **more: object) -> str:
    """The lines on a delegate script in use."""
    (tmp_path / "delegates.rb").write_text(script)
    properties = tmp_path / "cantaloupe.properties"
    properties.write_text("delegate_script.enabled = true\ndelegate_script.pathname = delegates.rb\n")
    takeover = cantaloupe.read(properties, [Settings], {})
    files = {"lookup": "{x} -> http://host/{x}"}
    config = load([Files], None, {"own": {"": more, "files": files}, "cantaloupe": takeover.values})
    return "\n".join(startup.delegate_lines(takeover.script, config))


def test_what_takes_the_place_of_a_delegate_script_is_said(tmp_path: Path) -> None:
    """At start: that it is not asked and what is missing, that a lookup is not used, or that the setting is wrong."""
    looks_up = "def source(options = {})\n  x\nend\n"
    adds = looks_up + "def metadata(options = {})\n  x\nend\n"
    guards = looks_up + "def redactions(options = {})\n  x\nend\n"
    assert "[files] has a lookup that is not used" in lines(tmp_path, looks_up)
    said = lines(tmp_path, looks_up, delegate_only_looks_up=True)
    assert said.endswith("delegates.rb is not asked for what the sidecar answers")
    assert "what its metadata would add is missing" in lines(tmp_path, adds, delegate_only_looks_up=True)
    assert "has redactions, which may guard images; every" in lines(tmp_path, guards, delegate_only_looks_up=True)
    from_elsewhere = lines(tmp_path, f"require_relative 'auth'\n{looks_up}", delegate_only_looks_up=True)
    assert "by require_relative it may have methods that do not show" in from_elsewhere
    assert not lines(tmp_path, guards, authorization_is_done_in_front=True)


GUARDED = "delegate_script.enabled = true\ndelegate_script.pathname = delegates.rb\nredaction.enabled = true\n"


@pytest.mark.parametrize(
    "variables, toml, wrong",
    [
        ({"SIDECAR_DELEGATE_GUARDS": "no"}, "", "SIDECAR_DELEGATE_GUARDS: follows from Cantaloupe's configuration"),
        ({}, 'delegate_guards = ""', r"SIDECAR_DELEGATE_GUARDS: follows .* \(from .*sidecar.toml\)"),
        ({"sidecar_delegate_objection": "no"}, "", "SIDECAR_DELEGATE_OBJECTION: follows from"),
        ({}, 'delegate_objection = ""', "SIDECAR_DELEGATE_OBJECTION: follows from"),
        ({}, 'guarded = ""', "SIDECAR_GUARDED: cannot be emptied, since Cantaloupe has redaction.enabled = true"),
    ],
)
def test_what_guards_images_cannot_be_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], toml: str, wrong: str
) -> None:
    """What Cantaloupe's configuration says of guards is no setting: a start with another word on it is refused."""
    (tmp_path / "cantaloupe.properties").write_text(GUARDED)
    (tmp_path / "sidecar.toml").write_text(toml)
    files = {
        startup.CANTALOUPE: str(tmp_path / "cantaloupe.properties"),
        startup.TOML: str(tmp_path / "sidecar.toml"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=wrong):
        startup.setup(files)


def test_what_follows_from_others_is_not_shown_as_a_setting() -> None:
    """`sidecar config` lists what people set, and a variable of such a name is reported as none."""
    derived = {*Settings.model_fields} - {*settable(Settings)}
    assert derived == {"delegate_guards", "delegate_objection"}
    names = {Settings.variable(name) for name in derived}
    assert not names & {each.variable for each in shown(load([]))}
    assert len([*startup.unknown_variables([Settings], dict.fromkeys(names, "x"))]) == len(names)
