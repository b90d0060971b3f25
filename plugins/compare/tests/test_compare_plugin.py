"""The plugin as the core loads it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pluggy
import pytest
import sidecar_compare
import typer
from typer.testing import CliRunner

README = Path(__file__).parents[1] / "README.md"
LOADED = """
import json, sys
import typer, sidecar.plugin
before = set(sys.modules)
import sidecar_compare
imported = set(sys.modules) - before
commands = list(sidecar_compare.register_commands())
json.dump([sorted(imported), sorted(set(sys.modules) - before - imported)], sys.stdout)
"""


def test_the_hook_registers_the_command() -> None:
    """The hook returns one function, which Typer runs as `compare` with its docstring as help."""
    (command,) = sidecar_compare.register_commands()
    cli = typer.Typer()
    cli.command()(command)
    cli.command("other")(lambda: None)
    result = CliRunner().invoke(cli, ["compare", "--help"])
    assert result.exit_code == 0
    assert "Send the same requests to Cantaloupe and to the sidecar" in " ".join(result.output.split())


def test_the_hook_has_the_specified_signature() -> None:
    """Pluggy accepts the hook as an implementation of `register_commands` without arguments."""

    class Specification:
        @pluggy.HookspecMarker("sidecar")
        def register_commands(self) -> None:
            """Register commands."""

    manager = pluggy.PluginManager("sidecar")
    manager.add_hookspecs(Specification)
    manager.register(sidecar_compare)
    manager.check_pending()
    assert [[command.__name__ for command in commands] for commands in manager.hook.register_commands()] == [
        ["compare"]
    ]


def test_workers_import_one_light_module() -> None:
    """Importing the plugin imports nothing else, and the hook adds only the module with the options."""
    result = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [["sidecar_compare"], ["sidecar_compare.command"]]


def test_the_url_of_cantaloupe_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--cantaloupe` the command reads SIDECAR_CANTALOUPE_URL, as the sidecar does."""
    (command,) = sidecar_compare.register_commands()
    cli = typer.Typer()
    cli.command()(command)
    monkeypatch.setenv("SIDECAR_CANTALOUPE_URL", "not-a-url")
    result = CliRunner().invoke(cli, ["-"], input="/iiif/3/a.jp2/info.json\n")
    assert result.exit_code == 2
    assert "not-a-url: the URL of a server begins with http://" in " ".join(result.output.split())


def test_the_readme_has_every_option() -> None:
    """The table of options in the README names those of the command, in the same order."""
    (command,) = sidecar_compare.register_commands()
    options = [f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters if name != "requests"]
    assert re.findall(r"^\| `(--[a-z-]+)`", README.read_text(encoding="utf-8"), re.MULTILINE) == options
