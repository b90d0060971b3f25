"""The command `sidecar`, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command with these variables for settings, and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_plugins_are_listed_with_what_they_add() -> None:
    """Every plugin of this repository is shown, with suffixes it decodes and formats it encodes."""
    shown = run("plugins").stdout
    for name in ("filesystem", "jp2", "openslide", "png", "turbojpeg"):
        assert f"iiif-sidecar-{name}" in shown
    assert "jpg: image/jpeg" in shown
    assert "svs" in shown


def test_settings_are_listed_with_value_origin_and_meaning(tmp_path: Path) -> None:
    """A default, a TOML file's value and a variable's are each shown with where they came from."""
    toml = tmp_path / "sidecar.toml"
    toml.write_text("min_size = 128\n")
    lines = run("config", "--config", str(toml), SIDECAR_WORKERS="3").stdout.splitlines()
    assert f"SIDECAR_MIN_SIZE=128  ({toml})" in lines
    assert "SIDECAR_WORKERS=3  (SIDECAR_WORKERS)" in lines
    assert "SIDECAR_LOG_LEVEL=info  (default)" in lines
    assert "    Worker processes." in lines


@pytest.mark.parametrize("command", ["serve", "config", "plugins"])
def test_a_wrong_setting_is_one_clear_line(command: str) -> None:
    """A value that cannot be is told with its variable, without a traceback, and ends the command with status 1."""
    done = run(command, SIDECAR_WORKERS="many")
    assert done.returncode == 1
    assert [line.partition(": ")[2].partition(":")[0] for line in done.stderr.splitlines()] == ["SIDECAR_WORKERS"]


BROKEN = {
    "cannot be imported: ModuleNotFoundError: No module named 'of_some_library'": "import of_some_library",
    "cannot be imported: SyntaxError": "def",
    "cannot be imported: OSError: libnone.so": "import ctypes\nctypes.CDLL('libnone.so')",
    "Argument(s) {'colour'}": "import sidecar\n@sidecar.hookimpl\ndef register_encoders(colour): return []",
    "unknown hook 'register_encoder'": "import sidecar\n@sidecar.hookimpl\ndef register_encoder(): return []",
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_plugin_is_one_clear_line(tmp_path: Path, problem: str) -> None:
    """A plugin that cannot be imported, or whose hooks are others than there are, is named with what is wrong."""
    (tmp_path / "stranger.py").write_text(BROKEN[problem])
    described = tmp_path / "stranger-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[sidecar]\nstranger = stranger\n")
    done = run("serve", PYTHONPATH=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "stranger" in done.stderr
    assert problem in done.stderr


def test_a_file_that_is_not_there_is_told() -> None:
    """A TOML file that cannot be read is one clear line too."""
    done = run("serve", "--config", "/nonexistent.toml")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "/nonexistent.toml" in done.stderr


def test_unknown_variables_are_warned_of() -> None:
    """A slip of the pen in a variable's name does not stop the command, but is told."""
    done = run("config", SIDECAR_WORKER="3")
    assert done.returncode == 0
    assert done.stderr == "warning: SIDECAR_WORKER is not a setting; did you mean SIDECAR_WORKERS?\n"
