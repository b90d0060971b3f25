"""The container and the compose file: what they name exists, and each part's own program accepts its file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.cantaloupe import read
from sidecar.cli.main import make_cli
from sidecar.config import Settings, core, load
from sidecar.plugin import Section
from sidecar.registry import Plugins
from tests.packaging.containerfile import FILE, stages
from tests.unit.deploy.test_systemd import variables

ROOT: Final = Path(__file__).parents[3]
COMPOSE: Final = ROOT / "examples" / "compose"
SERVICES: Final[Mapping[str, Mapping[str, Any]]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
CONTAINERFILES: Final = [FILE, *COMPOSE.glob("*/Containerfile"), ROOT / "examples" / "lambda" / "Dockerfile"]
HADOLINT: Final = shutil.which("hadolint", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
STAGES: Final = stages(FILE.read_text(encoding="utf-8"))


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is mounted and where; of what is named by a variable its default."""
    for each in service.get("volumes", ()):
        source, target = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", each).split(":")[:2]
        if source.startswith("."):
            yield source, target


def test_the_container_runs_the_sidecar() -> None:
    """What runs and what asks for its health are subcommands; the user is a number other than root's."""
    last = STAGES[-1]
    commands = {
        *(each.callback.__name__ for each in make_cli(Plugins(installed=False)).registered_commands if each.callback)
    }
    for command in (last.command, last.health):
        assert command[0] == "sidecar"
        assert command[1] in commands
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last.last("USER"))
    assert {name for name in last.variables if name.startswith("SIDECAR_")} <= variables()


def test_nothing_that_compiles_is_installed() -> None:
    """No step installs a compiler, and what is installed of Python's index is locked and checked by hash."""
    steps = "\n".join(text for stage in STAGES for word, text in stage.steps if word == "RUN")
    assert not re.search(r"\b(gcc|g\+\+|build-essential|clang|cmake|python3-dev)\b", steps)
    locked = re.findall(r"pip (?:install|wheel)[^&]*--requirement requirements/\S+", steps)
    assert locked
    assert all("--require-hashes" in each for each in locked)


def test_all_that_is_copied_is_in_the_context() -> None:
    """What is copied into the container exists, and `.dockerignore` lets it through."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    for word, text in (step for stage in STAGES for step in stage.steps):
        if word == "COPY" and not text.startswith("--from"):
            for name in text.split()[:-1]:
                assert name == "." or name.split("/")[0] in kept
    # What builds the wheels names these.
    assert {"pyproject.toml", "README.md", "LICENSE", "nginx", "plugins", "sidecar", "systemd"} <= kept


@pytest.mark.skipif(HADOLINT is None, reason="there is no hadolint")
@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    """What hadolint calls a mistake is none of ours; an exception carries its reason."""
    done = subprocess.run([str(HADOLINT), str(path)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_that_is_mounted_exists() -> None:
    """Each file and folder that a service mounts, and each folder that one is built from, is in the checkout."""
    for name, service in SERVICES.items():
        for source, _ in mounts(service):
            assert (COMPOSE / source).exists(), (name, source)
        if "build" in service:
            assert (COMPOSE / service["build"]["context"] / service["build"]["dockerfile"]).is_file(), name


def test_services_are_shut_in() -> None:
    """None can write its root, gain rights or has capabilities; those that are built run as users of their own."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
        if "build" in service:
            assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", service["user"]), name


def test_the_sidecar_fits_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables are settings; from Cantaloupe's file it takes the images' folder and Cantaloupe's address."""
    service = SERVICES["sidecar"]
    environment = service["environment"]
    assert {*environment} <= variables()
    assert environment["SIDECAR_BIND"] == Settings().bind
    places = {target: source for source, target in mounts(service)}
    file = COMPOSE / places[environment["SIDECAR_CANTALOUPE_CONFIG"]]
    kinds: list[type[Section]] = [Settings, *Plugins().sections()]
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", STAGES[-1].variables["SIDECAR_FILESYSTEM_ROOT"])
    takeover = read(file, kinds, {})
    assert takeover.notes == []
    config = load(kinds[1:], None, {str(file): takeover.values})
    assert core(config).cantaloupe_url == "http://127.0.0.1:8182"
    (filesystem,) = (section for kind, section in config.sections.items() if kind.table == "filesystem")
    assert {"/images", "/images/"} == {getattr(filesystem, "root", ""), getattr(filesystem, "path_prefix", "")}
    assert "/images" in places


def test_they_share_a_network() -> None:
    """All that the shipped nginx site and Prometheus name by 127.0.0.1 is in nginx's network."""
    inside = {name for name, service in SERVICES.items() if service.get("network_mode") == "service:nginx"}
    assert inside == {"sidecar", "cantaloupe", "prometheus"}
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    assert [each["targets"] for each in scraped[0]["static_configs"]] == [[Settings().bind]]
    source = yaml.safe_load((COMPOSE / "grafana" / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://nginx:9090"


def test_nginx_reads_its_file(tmp_path: Path) -> None:
    """With the files mounted where the compose file mounts them, nginx accepts its configuration."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert nginx
    for source, target in mounts(SERVICES["nginx"]):
        place = tmp_path / Path(target).relative_to("/etc/nginx")
        path = COMPOSE / source
        shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
    file = tmp_path / "nginx.conf"
    text = file.read_text(encoding="utf-8").replace("/dev/stderr", "stderr").replace(" /tmp/", f" {tmp_path}/")
    file.write_text(text, encoding="utf-8")
    command = [nginx, "-t", "-q", "-e", "stderr", "-p", str(tmp_path), "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
def test_promtool_reads_its_file(tmp_path: Path) -> None:
    """With the files mounted where the compose file mounts them, Prometheus would accept its configuration."""
    for source, target in mounts(SERVICES["prometheus"]):
        text = (COMPOSE / source).read_text(encoding="utf-8")
        (tmp_path / Path(target).name).write_text(text.replace("/etc/prometheus", str(tmp_path)), encoding="utf-8")
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
