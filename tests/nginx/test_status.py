"""The status page of a real sidecar: workers know of each other, and nginx shows it to nobody."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, Peer, ask, reply, saying, slow_client
from tests.nginx.servers import Sidecar, wait_for

WHOLE = "/iiif/3/untiled_precincts_plt_layers.jp2/full/max/0/default.png"
SMALL = "/iiif/3/tiny_60x40.jp2/full/max/0/default.jpg"


@pytest.fixture(scope="module")
def sidecar(
    folder: Path, session_cantaloupe: Peer, logs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sidecar]:
    """A sidecar of two workers without nginx, which knows the stand-in for Cantaloupe."""
    url = f"http://{HOST}:{session_cantaloupe.port}"
    toml = f'workers = 2\ncantaloupe_url = "{url}"\n[filesystem]\nroot = "{folder}"\n'
    server = Sidecar(tmp_path_factory.mktemp("status"), toml)
    logs.append(server.process.log)
    yield server
    server.stop()


def report(sidecar: Sidecar) -> dict[str, Any]:
    answer = ask(sidecar.port, "/sidecar/status.json")
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def pids(sidecar: Sidecar) -> set[int]:
    return {worker["pid"] for worker in report(sidecar)["workers"]}


def answered(sidecar: Sidecar, target: str) -> list[dict[str, Any]]:
    return [each for each in report(sidecar)["recent"] if each["path"] == target]


def test_workers_know_of_each_other(sidecar: Sidecar) -> None:
    """Each worker shows what any of them has under way and has answered; one that is killed is gone from the page."""
    for _ in range(10):
        assert ask(sidecar.port, SMALL).status == 200
    with closing(slow_client(sidecar.port, WHOLE)):
        seen: set[int] = set()
        wait_for(lambda: report(sidecar)["memory"]["promised"] > 0, "it has its memory")
        wait_for(lambda: pids(sidecar) == set(sidecar.workers()), "each has written what it does")
        wait_for(lambda: len(answered(sidecar, SMALL)) == 10, "all are over")
        while len(seen) < 2:
            found = report(sidecar)
            seen.add(found["answered_by"])
            assert [each["path"] for each in found["running"]] == [WHOLE]
            assert len(answered(sidecar, SMALL)) == 10
            assert {each["pid"] for each in found["workers"]} == set(sidecar.workers())
    wait_for(lambda: report(sidecar)["running"] == [], "it is over")
    (broken,) = answered(sidecar, WHOLE)
    assert (broken["outcome"], broken["reason"]) == ("broken", "client-gone")
    killed, kept = sidecar.workers()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(pids(sidecar) - {killed}) == 2, "another is there")
    assert kept in pids(sidecar)
    assert killed not in pids(sidecar)
    assert report(sidecar)["restarts"] == 1


def test_nginx_shows_it_to_nobody(stack: Stack) -> None:
    """Through the site the page is Cantaloupe's to answer; asked as nginx would ask, the sidecar refuses it."""
    assert ask(stack.port, "/sidecar/").text == "cantaloupe's answer"
    assert ask(stack.sidecar.port, "/sidecar/").status == 200
    refused = ask(stack.sidecar.port, "/sidecar/", headers={"X-Forwarded-For": "127.0.0.1"})
    assert (refused.status, refused.headers["X-Sidecar-Reason"]) == (403, "not-shown")


def test_cantaloupes_pictures(sidecar: Sidecar, cantaloupe: Peer) -> None:
    """Cantaloupe is asked for the viewer by the path that it knows, escapes and all, and nothing of it may run here."""
    cantaloupe.behaviour = saying(reply(200, b"<script>", Content_Type="text/html"))
    answer = ask(sidecar.port, "/sidecar/cantaloupe/iiif/3/a%2Fb%20c.jp2/full/max/0/default.jpg")
    assert (answer.status, answer.text) == (200, "<script>")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert [each.target for each in cantaloupe.requests] == ["/iiif/3/a%2Fb%20c.jp2/full/max/0/default.jpg"]
    proxied = ask(sidecar.port, "/sidecar/cantaloupe/iiif/3/x/info.json", headers={"X-Forwarded-For": "127.0.0.1"})
    assert proxied.status == 403
