"""What `sidecar serve` says before it serves, and its options for trying it out."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sidecar import __version__
from sidecar.cli import banner, main
from sidecar.config import Settings
from sidecar.plugin import Config, run_inline
from sidecar.registry import Plugins
from sidecar.server import descriptors
from sidecar.startup import Setup

START = banner.Start(
    version="1.2.3",
    plugins=["filesystem", "jp2"],
    sources=["filesystem"],
    folders=["/srv/images"],
    workers=2,
    memory_bytes=8_000_000_000,
    listens="127.0.0.1:8183",
    cantaloupe="http://127.0.0.1:8182",
    status_page="http://127.0.0.1:8183/sidecar/",
)


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody looks on, it is one line of the log with all of it."""
    banner.show(START, Settings())
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said["event"] == "starting"
    assert {name: said[name] for name in ("version", "folders", "memory_bytes", "cantaloupe", "status_page")} == {
        "version": "1.2.3",
        "folders": ["/srv/images"],
        "memory_bytes": 8_000_000_000,
        "cantaloupe": "http://127.0.0.1:8182",
        "status_page": "http://127.0.0.1:8183/sidecar/",
    }


def test_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """People read the same, a line each."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    banner.show(START, Settings())
    text = terminal.getvalue()
    assert "iiif-sidecar 1.2.3" in text
    for part in ("filesystem jp2", "/srv/images", "8.0 GB", "127.0.0.1:8183", "http://127.0.0.1:8182", "/sidecar/"):
        assert part in text


@pytest.mark.parametrize(
    "bind, networks, page",
    [
        ("0.0.0.0:8183", ("127.0.0.0/8",), "http://127.0.0.1:8183/sidecar/"),
        ("[::]:80, 127.0.0.1:81", ("127.0.0.0/8",), "http://[::1]:80/sidecar/"),
        ("127.0.0.1:8183", (), ""),
        ("unix:/run/sidecar.sock", ("127.0.0.0/8",), ""),
    ],
)
def test_where_the_status_page_is(bind: str, networks: tuple[str, ...], page: str) -> None:
    """Its URL is one that a browser on this machine can open; there is none if nobody may see it."""
    plugins = Plugins(installed=False)
    settings = Settings(bind=bind, status_networks=networks, memory_bytes=10**9, cantaloupe_url="http://me:word@c:1")
    config = Config.of(settings)
    found = banner.start_of(Setup(plugins, config, []), plugins.load(config, run_inline))
    assert (found.status_page, found.version, found.memory_bytes) == (page, __version__, 2 * 10**9)
    assert "word" not in found.cantaloupe


def test_options_go_over_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--bind`, `--workers` and `--root` are what the server's process reads, which starts without a file."""
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _path, _arguments, environment: started.append(environment))
    monkeypatch.setattr(descriptors, "claim", lambda _settings: None)
    for name in ("SIDECAR_BIND", "SIDECAR_WORKERS", "SIDECAR_FILESYSTEM_ROOT"):
        monkeypatch.setenv(name, "9")
    cli = main.make_cli(Plugins())
    done = CliRunner().invoke(cli, ["serve", "--bind", "127.0.0.1:9", "--workers", "3", "--root", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (environment,) = started
    names = ("SIDECAR_BIND", "SIDECAR_WORKERS", "SIDECAR_FILESYSTEM_ROOT")
    assert [environment[name] for name in names] == ["127.0.0.1:9", "3", str(tmp_path)]
