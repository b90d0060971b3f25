"""The nginx site that the command prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cli import shipped_files
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
