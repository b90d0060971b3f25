"""The nginx site that the command prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import nginx_fleet, shipped_files
from sidecar.cli.nginx_fleet import fleet_of, name_servers
from sidecar.cli.nginx_site import FOLDER, PLACES, NginxSite, files, site_of
from sidecar.config import Settings, core
from sidecar.errors import StartError
from sidecar.plugin import run_inline
from sidecar.registry import Plugins

SUFFIXES = (("jp2",),)


def shipped() -> dict[str, str]:
    """The files in the folder `nginx` of this repository."""
    return {path.name: path.read_text(encoding="utf-8") for path in (Path(__file__).parents[3] / "nginx").iterdir()}


def test_the_shipped_files_are_the_default_site() -> None:
    """With the plugins of this repository and no settings, the shipped files are what is printed, and nothing more."""
    plugins = Plugins()
    config = plugins.configure()
    registry = plugins.load(config, run_inline)
    registry.close()
    assert files(site_of(core(config), registry.decoders)) == shipped()


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_there_once(place: str) -> None:
    """What differs from site to site stands in exactly one place of the shipped files."""
    assert sum(len(PLACES[place].findall(text)) for text in shipped().values()) == 1
    assert shipped_files.folder(FOLDER) == Path(__file__).parents[3] / "nginx"


def test_settings_show_in_the_site() -> None:
    """Socket, prefix and Cantaloupe are those of the settings; TIFF is left out unless it is asked for."""

    class Scans:
        suffixes = frozenset({"svs", "tif", "tiff"})

    class Pictures:
        suffixes = frozenset({"tif"})

    settings = Settings(bind="unix:/run/s.sock", prefix="/images", cantaloupe_url="http://cantaloupe:8182")
    texts = files(site_of(settings, [Scans(), Pictures(), Scans()], ["10.1.2.3"]))  # type: ignore[list-item]
    main = texts["sidecar.conf"]
    assert "server unix:/run/s.sock;" in main
    assert "server cantaloupe:8182;" in main
    assert '    default "/images";' in main
    assert "    10.1.2.3/32 1;\n" in main
    assert main.count("(svs)") == 1
    assert "location ^~ /images/iiif/ {" in texts["sidecar-locations.conf"]
    with_tiff = files(site_of(settings, [Scans()], tiff=True))["sidecar.conf"]  # type: ignore[list-item]
    assert "(svs|tif|tiff)" in with_tiff


@pytest.mark.parametrize(
    "site",
    [
        NginxSite(SUFFIXES, bind="unix:/a b"),
        NginxSite(SUFFIXES, bind="127.0.0.1:1; return 200"),
        NginxSite(SUFFIXES, cantaloupe="cantaloupe:8182"),
        NginxSite(SUFFIXES, cantaloupe="http://a/$b"),
        NginxSite(SUFFIXES, trusted=("everybody",)),
        NginxSite((('a"b',),)),
    ],
    ids=repr,
)
def test_what_nginx_cannot_read_is_refused(site: NginxSite) -> None:
    """A value that would be read as something else is an error, not a file."""
    with pytest.raises(StartError):
        files(site)


def shown(**fleet: Any) -> tuple[str, str]:
    """The upstreams of any worker and of single ones, for sidecars on several hosts."""
    settings = Settings(bind="0.0.0.0:8183", worker_bind=fleet.pop("worker_bind", ""), workers=2)
    texts = files(NginxSite(SUFFIXES, fleet=fleet_of(settings, fleet.get("hosts", ()), fleet.get("service", ""))))
    assert "proxy_next_upstream_tries 2;" in texts["sidecar-locations.conf"].partition("\nlocation @")[0]
    found = re.findall(r"\nupstream (?:sidecar|sidecar_workers) \{\n(.*?)\n\}", texts["sidecar.conf"], re.DOTALL)
    anybody, workers = found
    return anybody, workers


def test_several_hosts() -> None:
    """Each worker of each host is a server of the ring, at the ports of the settings; without ports, each host is."""
    anybody, workers = shown(hosts=["a", "[::1]"], worker_bind="0.0.0.0:8190")
    assert re.findall(r"server (\S+) max_fails=1 fail_timeout=5s;", anybody) == ["a:8183", "[::1]:8183"]
    assert re.findall(r"server (\S+) max_fails=1", workers) == ["a:8190", "a:8191", "[::1]:8190", "[::1]:8191"]
    assert anybody.count("hash $sidecar_image consistent;") == workers.count("hash $sidecar_image consistent;") == 1
    assert re.findall(r"server (\S+) ", shown(hosts=["a", "b"])[1]) == ["a:8183", "b:8183"]


def test_a_service_lists_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records are asked for, one of each port, all of the same weight, of the name servers of this machine."""
    monkeypatch.setattr(nginx_fleet, "name_servers", lambda: ["10.0.0.53", "[2001:db8::53]"])
    anybody, workers = shown(service="sidecar.images.svc.cluster.local", worker_bind="0.0.0.0:8190")
    records = re.findall(r"server (\S+) service=(\S+) resolve weight=2 ", anybody + workers)
    assert records == [("sidecar.images.svc.cluster.local", name) for name in ("http", "worker-1", "worker-2")]
    assert "resolver 10.0.0.53 [2001:db8::53] valid=5s;" in workers


@pytest.mark.parametrize(
    "settings, hosts, service",
    [
        (Settings(bind="unix:/run/s.sock"), ["a"], ""),
        (Settings(worker_bind="unix:/run/s.sock"), ["a"], ""),
        (Settings(), ["a;b"], ""),
        (Settings(), ["a:8183"], ""),
        (Settings(), [], "a b"),
        (Settings(), ["a"], "b"),
    ],
)
def test_hosts_that_nginx_could_not_reach_are_refused(settings: Settings, hosts: list[str], service: str) -> None:
    """Sockets of one machine, names that are none, and two ways of saying where hosts are end with an error."""
    with pytest.raises(StartError):
        fleet_of(settings, hosts, service)


def test_name_servers(tmp_path: Path) -> None:
    """They are read as resolv.conf has them; a file with none, or with a wrong one, is an error."""
    file = tmp_path / "resolv.conf"
    file.write_text("search a.b\nnameserver 10.0.0.10\n# no\nnameserver 2001:db8::53\n")
    assert name_servers(file) == ["10.0.0.10", "[2001:db8::53]"]
    for text in ("search a.b\n", "nameserver somewhere\n", "nameserver\n"):
        file.write_text(text)
        with pytest.raises(StartError):
            name_servers(file)


@pytest.mark.parametrize("bind", ["0.0.0.0:9000,[::1]:9000", "127.0.0.1:9000, unix:/run/sidecar.sock"])
def test_of_several_addresses_nginx_asks_the_first(bind: str) -> None:
    """One is enough, and nginx would not read them as one."""
    settings = Settings(bind=bind)
    text = files(site_of(settings, []))["sidecar.conf"]
    servers = re.findall(r"^ +server (.*);$", text.partition("sidecar_cantaloupe {")[0], re.MULTILINE)
    assert servers == ["127.0.0.1:9000", "127.0.0.1:9000 max_fails=0"]


def test_without_a_cantaloupe_none_is_promised() -> None:
    """Nothing but the header differs, by which the sidecar knows what stands behind."""
    shipped, alone = (files(NginxSite((), alone=each)) for each in (False, True))
    differ = {name for name in shipped if shipped[name] != alone[name]}
    assert differ == {"sidecar-pass.conf"}
    assert "\nproxy_set_header X-Sidecar-Handover none;\n" in alone["sidecar-pass.conf"]
