"""The command `sidecar`, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sidecar
from sidecar.plugin import API_VERSION


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
    """A default, a value of a TOML file and one of a variable are each shown with their origin."""
    toml = tmp_path / "sidecar.toml"
    toml.write_text("min_size = 128\n")
    lines = run("config", "--config", str(toml), SIDECAR_WORKERS="3").stdout.splitlines()
    assert f"SIDECAR_MIN_SIZE=128  ({toml})" in lines
    assert "SIDECAR_WORKERS=3  (SIDECAR_WORKERS)" in lines
    assert "SIDECAR_LOG_LEVEL=info  (default)" in lines
    assert "    Worker processes." in lines


@pytest.mark.parametrize("command", ["serve", "check", "config", "plugins"])
def test_a_wrong_setting_is_one_clear_line(command: str) -> None:
    """A wrong value is reported with its variable and no traceback, and ends the command with status 1."""
    done = run(command, SIDECAR_WORKERS="many")
    assert done.returncode == 1
    assert [line.partition(": ")[2].partition(":")[0] for line in done.stderr.splitlines()] == ["SIDECAR_WORKERS"]


HOOKS = "from sidecar.plugin import hookimpl\nSIDECAR_API = 1\n"


def install(folder: Path, module: str) -> None:
    """Make a package of a plugin's text; the folder is to be put into PYTHONPATH."""
    (folder / "stranger.py").write_text(module)
    described = folder / "stranger-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[sidecar]\nstranger = stranger\n")


BROKEN = {
    "cannot be imported (stranger): ModuleNotFoundError: No module named 'of_some_library'": "import of_some_library",
    "cannot be imported (stranger): SyntaxError": "def",
    "cannot be imported (stranger): OSError: libnone.so": "import ctypes\nctypes.CDLL('libnone.so')",
    "Argument(s) {'colour'}": f"{HOOKS}@hookimpl\ndef register_encoders(colour): return []",
    "unknown hook 'register_encoder'": f"{HOOKS}@hookimpl\ndef register_encoder(): return []",
    "stranger 1: the plugin declares no SIDECAR_API": "from sidecar.plugin import hookimpl",
    "stranger 1: the plugin was written for version 0": "SIDECAR_API = 0",
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_plugin_is_one_clear_line(tmp_path: Path, problem: str) -> None:
    """A plugin that cannot be imported, is of another API or has unknown hooks is named with what is wrong."""
    install(tmp_path, BROKEN[problem])
    done = run("serve", PYTHONPATH=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "stranger" in done.stderr
    assert problem in done.stderr


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    """What would start is right; nothing is left behind."""
    done = run("check", SIDECAR_FILESYSTEM_ROOT=str(tmp_path), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "settings, plugins and libraries are right\n")
    assert [*tmp_path.iterdir()] == []


def test_an_address_that_is_none() -> None:
    """What cannot be listened on is a wrong setting like others."""
    for address in ("127.0.0.1:80x", "127.0.0.1:99999", "here"):
        done = run("config", SIDECAR_BIND=address)
        assert done.stderr.startswith(f"sidecar: SIDECAR_BIND: {address!r} is no address; it should be like")
        assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_missing_is_reported() -> None:
    """A TOML file that cannot be read is reported in one line."""
    done = run("serve", "--config", "/nonexistent.toml")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "/nonexistent.toml" in done.stderr


def test_unknown_variables_are_reported() -> None:
    """A misspelt variable does not stop the command, but is reported."""
    done = run("config", SIDECAR_WORKER="3")
    assert done.returncode == 0
    assert done.stderr == "warning: SIDECAR_WORKER is not a setting; did you mean SIDECAR_WORKERS?\n"


def test_version() -> None:
    """`--version` shows the version of the sidecar and that of its plugin API."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"iiif-sidecar {sidecar.__version__} (plugin API {API_VERSION})\n")


COMMAND = """
@hookimpl
def register_commands():
    return [say_hello]

def say_hello(name: str, times: int = 1) -> None:
    \"\"\"Greet somebody.\"\"\"
    print(f"hello {name}\\n" * times, end="")
"""


def test_a_plugin_adds_a_subcommand(tmp_path: Path) -> None:
    """A function that a plugin registers is a subcommand named by it, with its parameters, described by its text."""
    install(tmp_path, HOOKS + COMMAND)
    assert run("say-hello", "you", "--times", "2", PYTHONPATH=str(tmp_path)).stdout == "hello you\nhello you\n"
    assert "Greet somebody." in run("--help", PYTHONPATH=str(tmp_path)).stdout


def test_former_names_of_settings_are_reported(tmp_path: Path) -> None:
    """Settings under former names, in a variable and in the TOML file, count and are reported with the present ones."""
    toml = tmp_path / "sidecar.toml"
    toml.write_text("queue = 3\n")
    done = run("config", "--config", str(toml), SIDECAR_PATIENCE="9")
    assert f"SIDECAR_QUEUE_SIZE=3  ({toml})" in done.stdout
    assert "SIDECAR_QUEUE_TIMEOUT=9.0  (SIDECAR_PATIENCE)" in done.stdout
    assert done.stderr.splitlines() == [
        "warning: SIDECAR_PATIENCE is now called SIDECAR_QUEUE_TIMEOUT",
        f"warning: {toml}: queue is now called queue_size",
    ]


def test_the_nginx_site_is_printed_or_written(tmp_path: Path) -> None:
    """`sidecar nginx` prints each file under its name, and with --into writes them."""
    shown = run("nginx", "--every", "--trust", "10.0.0.0/8", SIDECAR_PREFIX="/images").stdout
    assert "# ===== sidecar.conf =====" in shown
    assert "    10.0.0.0/8 1;" in shown
    assert "location ^~ /images/iiif/ {" in shown
    assert run("nginx", "--into", str(tmp_path / "site")).returncode == 0
    assert (tmp_path / "site" / "sidecar-locations.conf").is_file()
    done = run("nginx", "--trust", "everybody")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
