"""nginx's own log with the shipped format: who answered, why the sidecar did not, and the sidecar's id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.nginx.conftest import Stack
from tests.nginx.peers import ask
from tests.nginx.servers import Nginx, wait_for

TILE = "/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.jpg"


def test_the_log_says_who_answered(stack: Stack, tmp_path: Path) -> None:
    """A tile has one upstream, a handover two and a reason, a refusal one and a reason; no line has a query."""
    log = tmp_path / "access.log"
    targets = [TILE, "/iiif/3/unknown.jp2/info.json?token=secret", "/elsewhere"]
    include = {"server": f"access_log {log} sidecar;"}
    with Nginx(tmp_path / "nginx", stack.sidecar.port, stack.cantaloupe.port, include=include) as nginx:
        for target in targets:
            assert ask(nginx.port, target).status == 200

        def lines() -> list[dict[str, Any]]:
            return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

        wait_for(lambda: len(lines()) == len(targets), "all are logged")
    tile, handover, elsewhere = lines()
    assert (tile["statuses"], tile["reason"]) == ("200", "")
    assert (handover["statuses"], handover["reason"]) == ("421 : 200", "not-found")
    assert (elsewhere["statuses"], elsewhere["reason"]) == ("200", "")
    assert "secret" not in log.read_text()
    wait_for(lambda: handover["id"] in stack.sidecar.process.log.read_text(), "the sidecar has logged it, too")
    own = [json.loads(line) for line in stack.sidecar.process.log.read_text().splitlines() if '"request"' in line]
    (line,) = (line for line in own if line["id"] == handover["id"])
    assert (line["client"], line["outcome"], line["status"]) == ("127.0.0.1", "handover", 421)
