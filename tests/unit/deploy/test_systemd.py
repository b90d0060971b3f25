"""systemd's files: what they name exists, and they fit each other and the sidecar's defaults."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest
import typer

from sidecar import startup
from sidecar.cli.main import make_cli
from sidecar.config import Settings
from sidecar.plugin import Section
from sidecar.registry import Plugins

ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = ROOT / "systemd"
EXPOSURE: Final = 2.0
"""As `systemd-analyze security` counts it."""


def unit(name: str) -> dict[str, list[str]]:
    """Return a unit's directives, each with all its values; it has none of one name in two sections."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#;[":
            key, separator, value = line.partition("=")
            assert separator, line
            found.setdefault(key, []).append(value)
    return found


def variables() -> set[str]:
    kinds: list[type[Section]] = [Settings, *Plugins().sections()]
    return {startup.TOML, startup.CANTALOUPE, *(kind.variable(name) for kind in kinds for name in kind.model_fields)}


def test_commands_are_those_of_the_sidecar() -> None:
    """What is started and reloaded is a subcommand of the script that the core's wheel installs."""
    service = unit("sidecar.service")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    commands = typer.main.get_command(make_cli(Plugins(installed=False)))
    assert isinstance(commands, typer.core.TyperGroup)
    own = [line.split() for key in ("ExecStart", "ExecReload") for line in service[key] if "sidecar" in line]
    assert [words[1] for words in own] == ["serve", "check"]
    for path, subcommand, *_ in own:
        assert Path(path).is_absolute()
        assert Path(path).name in scripts
        assert subcommand in commands.commands


def test_settings_exist() -> None:
    """Every variable that the files name is a setting, or names a file of settings."""
    for path in FOLDER.iterdir():
        named = set(re.findall(r"\bSIDECAR_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8")))
        assert named - variables() == set(), path.name


def test_the_socket_is_where_the_sidecar_is_expected() -> None:
    """It listens at the default of SIDECAR_BIND, from which the slots follow and which nginx's site names."""
    assert unit("sidecar.socket")["ListenStream"] == [Settings().bind]
    assert "sidecar.socket" in unit("sidecar.service")["Requires"]


def test_user_and_folders_fit() -> None:
    """The user is the one that is made, settings lie where they are made readable, and it stops before it is killed."""
    service = unit("sidecar.service")
    (user,) = service["User"]
    made = [line.split()[1] for line in (FOLDER / "sysusers.conf").read_text().splitlines() if line.startswith("u ")]
    assert made == [user]
    environment = dict(value.split("=", 1) for value in service["Environment"])
    readable = [line.split()[1] for line in (FOLDER / "tmpfiles.conf").read_text().splitlines() if line[:1] in "dz"]
    assert {environment["SIDECAR_CONFIG"], service["EnvironmentFile"][0].removeprefix("-")} <= {*readable}
    assert environment["TMPDIR"] == f"/run/{service['RuntimeDirectory'][0]}"
    text = (ROOT / "sidecar" / "server" / "gunicorn_conf.py").read_text(encoding="utf-8")  # imported, it makes a folder
    (graceful,) = re.findall(r"^graceful_timeout = (\d+)$", text, re.MULTILINE)
    assert int(service["TimeoutStopSec"][0]) > int(graceful)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_the_service_is_shut_in() -> None:
    """The system manager knows every directive, and counts an exposure of at most 2."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "./sidecar.service"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"Overall exposure level for sidecar.service: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip(f"systemd-analyze does not answer offline: {done.stderr}")
    assert float(found[1]) <= EXPOSURE
    assert "ignoring" not in done.stderr, done.stderr
