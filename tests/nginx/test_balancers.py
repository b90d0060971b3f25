"""nginx behind a balancer, which is an nginx too: whose word on scheme, host, port and path is believed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import HOST, Peer, ask
from tests.nginx.servers import Nginx, NginxServer, free_port

BALANCER = "127.0.0.2"
"""Where the balancer's requests come from; clients that pass it by come from 127.0.0.1."""
NAME = "tiled_512.jp2"
CONFIGURATION = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    server {
        listen 127.0.0.1:$PORT;
        location / {
            proxy_pass http://$BEHIND;
            proxy_bind $BALANCER;
            proxy_set_header Host $$http_host;
            $HEADERS
        }
    }
}
"""
TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}


def balancer(folder: Path, behind: int, headers: dict[str, str]) -> NginxServer:
    """A balancer in front of an nginx on this machine; `headers` are those that it sets."""
    port = free_port()
    lines = "".join(f"proxy_set_header {name} {value}; " for name, value in headers.items())
    values = {"PORT": str(port), "BEHIND": f"{HOST}:{behind}", "BALANCER": BALANCER, "HEADERS": lines}
    return NginxServer(folder, port, Template(CONFIGURATION).substitute(values))


@pytest.fixture(scope="module")
def trusting(session_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The site with the one line that trusts the balancer."""
    edits = {("sidecar.conf", "# 10.0.0.0/8 1;"): f"{BALANCER} 1;"}
    folder = tmp_path_factory.mktemp("trusting") / "nginx"
    with Nginx(folder, session_stack.sidecar.port, session_stack.cantaloupe.port, edits) as nginx:
        yield nginx


def identifier(port: int, **headers: str) -> str:
    """The image's id in info.json."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = ask(port, f"/iiif/3/{NAME}/info.json", headers={"Host": "images.example.org", **named})
    assert answer.status == 200, answer.text
    return str(json.loads(answer.body)["id"])


@pytest.mark.parametrize(
    "headers, root",
    [
        (TLS, "https://images.example.org"),
        ({"X-Forwarded-Proto": "https"}, "https://images.example.org"),
        ({"X-Forwarded-Proto": "http", "X-Forwarded-Port": "8080"}, "http://images.example.org:8080"),
        ({**TLS, "X-Forwarded-Host": "iiif.example.org"}, "https://iiif.example.org"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "iiif.example.org:8443"}, "https://iiif.example.org:8443"),
        ({**TLS, "X-Forwarded-Path": "/images"}, "https://images.example.org/images"),
        ({}, "http://images.example.org"),
        (
            {"X-Forwarded-Proto": "gopher", "X-Forwarded-Port": "x", "X-Forwarded-Host": "a/b"},
            "http://images.example.org",
        ),
    ],
)
def test_ids_are_as_the_balancer_has_it(trusting: Nginx, tmp_path: Path, headers: dict[str, str], root: str) -> None:
    """Scheme, host, port and path of a trusted balancer are those in info.json and in the canonical link."""
    with balancer(tmp_path, trusting.port, headers) as outer:
        assert identifier(outer.port) == f"{root}/iiif/3/{NAME}"
        link = ask(outer.port, f"/iiif/3/{NAME}/full/9,/0/default.jpg", headers={"Host": "images.example.org"})
        assert link.headers["Link"].startswith(f"<{root}/iiif/3/{NAME}/full/9,7/")


def test_nobody_else_is_believed(trusting: Nginx, stack: Stack, tmp_path: Path) -> None:
    """Whoever passes the balancer by, and a balancer that no line names, cannot choose scheme, host, port or path."""
    forged = {
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil",
        "X_Forwarded_Port": "1",
        "X_Forwarded_Path": "/p",
    }
    plain = f"http://images.example.org/iiif/3/{NAME}"
    assert identifier(trusting.port, **forged) == plain
    with balancer(tmp_path, stack.port, TLS) as outer:
        assert identifier(outer.port) == plain


def test_cantaloupe_is_told_the_same(trusting: Nginx, cantaloupe: Peer, tmp_path: Path) -> None:
    """A request that is handed over reaches Cantaloupe with the balancer's scheme, host and port."""
    with balancer(tmp_path, trusting.port, TLS) as outer:
        ask(outer.port, "/iiif/3/nothing.jp2/info.json", headers={"Host": "images.example.org"})
    (request,) = cantaloupe.requests
    names = ("proto", "host", "port")
    assert [request.headers[f"x-forwarded-{name}"] for name in names] == ["https", "images.example.org", "443"]


@pytest.mark.parametrize(
    "site, last",
    [
        ("", "192.0.2.7"),
        (f"set_real_ip_from {BALANCER}; real_ip_header X-Forwarded-For; real_ip_recursive on;", "192.0.2.7"),
    ],
)
def test_clients_of_a_balancer_are_told_apart(
    actor: Peer, cantaloupe: Peer, tmp_path: Path, site: str, last: str
) -> None:
    """The last address in X-Forwarded-For, by which the sidecar lets clients take turns, is the client's."""
    edits = {("sidecar.conf", "# 10.0.0.0/8 1;"): f"{BALANCER} 1;"}
    with (
        Nginx(tmp_path / "inner", actor.port, cantaloupe.port, edits, {"http": site}) as inner,
        balancer(tmp_path / "outer", inner.port, {"X-Forwarded-For": f'"198.51.100.1, {last}"'}) as outer,
    ):
        ask(outer.port, "/iiif/3/a.jp2/info.json")
        ask(inner.port, "/iiif/3/a.jp2/info.json", headers={"X-Forwarded-For": last})
    through, past = (request.headers["x-forwarded-for"].rpartition(", ")[2] for request in actor.requests)
    assert (through, past) == (last, HOST)
