"""Limits on the bodies of requests."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.nginx.peers import HOST, PATIENCE, Peer, ask
from tests.nginx.servers import Nginx

TILE = "/iiif/3/a.jp2/0,0,256,256/max/0/default.jpg"


def test_bodies_are_small_whatever_the_site_allows(
    actor: Peer, cantaloupe: Peer, logs: list[Path], tmp_path: Path
) -> None:
    """A site that takes uploads elsewhere takes none below /iiif/: a length beyond the limit is refused unread."""
    with Nginx(
        tmp_path / "nginx", actor.port, cantaloupe.port, include={"server": "client_max_body_size 50m;"}
    ) as nginx:
        logs.append(nginx.process.log)
        for method in ("GET", "POST"):
            head = f"{method} {TILE} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
            with socket.create_connection((HOST, nginx.port), PATIENCE) as client:
                client.sendall(head.encode())
                assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
            assert ask(nginx.port, TILE, method, body=bytes(500_000)).status == 200
        assert ask(nginx.port, "/upload", "POST", body=bytes(2_000_000)).status == 200
        logs.pop()
