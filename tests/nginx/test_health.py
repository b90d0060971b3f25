"""Health as orchestrators ask for it: by the command and over HTTP, while workers serve, and while none can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from sidecar.testing.object_store import ObjectStore
from tests.nginx.peers import ask
from tests.nginx.servers import Sidecar, wait_for


def health(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `sidecar health` with the settings of a sidecar; return its status and what it prints."""
    command = [sys.executable, "-m", "sidecar", "health", "--config", str(folder / "sidecar.toml"), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_root_that_goes_away_and_workers_that_cannot_start(tmp_path: Path) -> None:
    """A folder that disappears makes workers unready, not dead; with no worker nobody says that anything is well."""
    root = tmp_path / "images"
    root.mkdir()
    sidecar = Sidecar(tmp_path, f'workers = 1\n[filesystem]\nroot = "{root}"\n')
    answer = ask(sidecar.port, "/sidecar/ready")
    said = json.loads(answer.text)
    assert (answer.status, said["status"], said["sources"]) == (200, "ready", {"filesystem": "readable"})
    assert said["memory"]["budget"] > 0
    assert said["plugins"]["sources"] == ["filesystem"]
    assert "jp2" in said["plugins"]["decoders"]
    assert "jpg" in said["plugins"]["formats"]
    assert health(tmp_path) == (0, "ok")
    assert health(tmp_path, "--ready") == (0, "ready")
    root.rmdir()
    wait_for(lambda: ask(sidecar.port, "/sidecar/ready").status == 503, "the folder is missed")
    assert health(tmp_path, "--ready") == (1, "unreadable, filesystem: source")
    assert health(tmp_path) == (0, "ok")
    sidecar.stop()
    status, line = health(tmp_path)
    assert status == 1
    assert line.startswith(f"no answer at 127.0.0.1:{sidecar.port}: ")


def test_far_sources(tmp_path: Path) -> None:
    """A server of images that fails shows when far sources are asked for, and not before."""
    with ObjectStore({}) as store:
        sidecar = Sidecar(tmp_path, f'workers = 1\n[http]\nurl_prefix = "{store.url}/"\n')
        assert health(tmp_path, "--sources") == (0, "ready")
        store.mischief = lambda _request, reply: replace(reply, status=503)
        wait_for(lambda: ask(sidecar.port, "/sidecar/ready?sources=all").status == 503, "the server is missed")
        said = json.loads(ask(sidecar.port, "/sidecar/ready?sources=all").text)
        assert (said["status"], said["sources"]) == ("unreadable", {"http": "source"})
        assert ask(sidecar.port, "/sidecar/ready").status == 200
        sidecar.stop()
