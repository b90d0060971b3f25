"""How much of the site one client may have at once, with the shipped files as they are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.nginx.peers import PATIENCE, Peer, Request, ask, reply
from tests.nginx.servers import Nginx, wait_for

TILE = "/iiif/3/a.jp2/0,0,256,256/256,/0/default.jpg"
WHOLE = "/iiif/3/a.jp2/full/max/0/default.png"


@contextmanager
def under_way(site: Nginx, actor: Peer, *targets: str) -> Iterator[None]:
    """Keep requests under way: the actor answers them in the end, and others at once."""
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def behave(request: Request, connection: socket.socket) -> bool:
        if "slow" in request.target:
            begun.release()
            go_on.wait(PATIENCE)
        connection.sendall(reply(200, b"done"))
        return True

    actor.behaviour = behave
    with ThreadPoolExecutor(len(targets)) as pool:
        asked = [pool.submit(ask, site.port, f"{target}?slow") for target in targets]
        try:
            assert all(begun.acquire(timeout=PATIENCE) for _ in targets)
            yield
        finally:
            go_on.set()
        assert {answer.result().status for answer in asked} == {200}


@pytest.mark.parametrize("size", ["max", "full", "^max", "%5Emax", "pct:100"])
def test_whole_images_are_few(site: Nginx, actor: Peer, size: str) -> None:
    """A client has four whole images under way at most, however the size is written; tiles and smaller ones go on."""
    more = WHOLE.replace("max", size)
    with under_way(site, actor, *[WHOLE] * 4):
        assert ask(site.port, more).status == 429
        assert {ask(site.port, target).status for target in (TILE, WHOLE.replace("max", "500,"))} == {200}
    wait_for(lambda: ask(site.port, more).status == 200, "they are over")


def test_a_screenful_of_tiles_is_let_through(site: Nginx, actor: Peer) -> None:
    """A hundred tiles at once are answered."""
    with under_way(site, actor, *[TILE] * 100):
        assert ask(site.port, TILE).status == 200


@pytest.mark.parametrize(
    "address, name",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::7", "2001:db8:1:2"),
        ("2001:db8:1::7", "2001:db8:1::"),
        ("2001:db8::7", "2001:db8::"),
        ("2001:db8::7:8:9:a", "2001:db8::"),
        ("::1", "::"),
    ],
)
def test_addresses_of_one_network_are_one_client(
    cantaloupe: Peer, actor: Peer, logs: list[Path], tmp_path: Path, address: str, name: str
) -> None:
    """An IPv4 address counts by itself, an IPv6 address by its /64 network."""
    include = {
        "http": "set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;",
        "server": "location = /client { return 200 $sidecar_limited; }",
    }
    with Nginx(tmp_path / "nginx", actor.port, cantaloupe.port, include=include) as nginx:
        logs.append(nginx.process.log)
        assert ask(nginx.port, "/client", headers={"X-Real-IP": address}).text == name
        logs.pop()
