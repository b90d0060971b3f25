"""`sidecar nginx`: nginx reads every site that it prints, and the printed site does what was asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sidecar.cli.nginx_fleet import Fleet
from sidecar.cli.nginx_site import NginxSite, files
from tests.nginx.peers import HOST, Peer, ask
from tests.nginx.servers import Nginx

SUFFIXES = (("j2k", "jp2"), ("svs",))


def nginx_for(site: NginxSite, folder: Path, *, sidecar: int = 1, cantaloupe: int = 1, cache: bool = False) -> Nginx:
    """Return nginx with the site's files as they were printed, all of them included."""
    lines = {"http": "include sidecar/cache.conf;"} if cache else {}
    nginx = Nginx(folder, sidecar, cantaloupe, include=lines, handover="include sidecar/cantaloupe.conf;")
    for name, text in files(site).items():
        (folder / "sidecar" / name).write_text(text.replace("/var/cache/nginx-sidecar", str(folder / "cache")))
    return nginx


@pytest.mark.parametrize(
    "site",
    [
        NginxSite(SUFFIXES),
        NginxSite(()),
        NginxSite(SUFFIXES, bind="unix:/run/sidecar/sidecar.sock"),
        NginxSite(SUFFIXES, bind="0.0.0.0:9000"),
        NginxSite(SUFFIXES, bind="[::1]:9000"),
        NginxSite(SUFFIXES, prefix="/images/of-all"),
        NginxSite(SUFFIXES, cantaloupe="https://127.0.0.1"),
        NginxSite(SUFFIXES, cantaloupe="http://127.0.0.1:8080/cantaloupe/"),
        NginxSite(SUFFIXES, cantaloupe="http://[::1]:8182", prefix="/images"),
        NginxSite(SUFFIXES, trusted=("10.0.0.0/8", "2001:db8::/32", "192.0.2.7")),
        NginxSite(SUFFIXES, fleet=Fleet(["127.0.0.1", "[::1]"], port=9000)),
        NginxSite(SUFFIXES, fleet=Fleet(["127.0.0.1", "127.0.0.2"], worker_ports=[8190, 8191])),
    ],
    ids=repr,
)
def test_nginx_reads_every_variant(site: NginxSite, tmp_path: Path) -> None:
    """`nginx -t` finds nothing wrong with any of the sites, optional files included, and makes the cache's folder."""
    nginx = nginx_for(site, tmp_path, cache=True)
    done = subprocess.run([*nginx.command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
    assert (tmp_path / "cache").is_dir()


def test_every_identifier_can_be_the_sidecars(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> None:
    """Without suffixes all identifiers go to the sidecar, and nothing else does."""
    site = NginxSite((), f"{HOST}:{actor.port}", cantaloupe=f"http://{HOST}:{cantaloupe.port}")
    targets = ["/iiif/3/ark%3A%2F1%2Fb/info.json", "/iiif/2/a.png/full/max/0/default.jpg", "/iiif/3/7e3c2f0a"]
    with nginx_for(site, tmp_path) as nginx:
        for target in targets:
            assert ask(nginx.port, target).text == "sidecar's answer"
        for target in ("/iiif/3/", "/iiif/1/a/info.json", "/other"):
            ask(nginx.port, target)
        ask(nginx.port, targets[0], "POST")
    assert [request.target for request in actor.requests] == targets


def test_cantaloupe_may_lie_below_a_path(actor: Peer, cantaloupe: Peer, tmp_path: Path) -> None:
    """A Cantaloupe below a path of its own gets the URL after that path, encoded as it came."""
    address = f"http://{HOST}:{cantaloupe.port}/cantaloupe"
    with nginx_for(NginxSite(SUFFIXES, f"{HOST}:{actor.port}", cantaloupe=address), tmp_path) as nginx:
        ask(nginx.port, "/iiif/3/a%2Fb.png/info.json?c=%2F")
    assert [request.target for request in cantaloupe.requests] == ["/cantaloupe/iiif/3/a%2Fb.png/info.json?c=%2F"]
