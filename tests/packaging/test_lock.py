"""The lock files pin all that is needed, within the bounds of every pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.lock import FOLDER, PYTHONS, Pin, pins
from tests.packaging.test_metadata import PLUGINS, ROOT

PROJECTS = [tomllib.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "pyproject.toml", *PLUGINS)]
MACHINES = ("x86_64", "aarch64")
FILES = ("build", "demo", "dev", "runtime", "tracing")


def lock(name: str) -> Sequence[Pin]:
    """What a lock file pins."""
    return [*pins(FOLDER / f"{name}.txt")]


def environment(python: str, machine: str) -> dict[str, str]:
    """A system, as markers see it."""
    system = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": machine}
    implementation = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {"python_version": python, "python_full_version": f"{python}.5", "extra": "", **system, **implementation}


def installed(name: str, python: str, machine: str) -> Mapping[str, Pin]:
    """What is installed from a lock file on a system; each package in one version."""
    system = environment(python, machine)
    found = [pin for pin in lock(name) if not pin.requirement.marker or pin.requirement.marker.evaluate(system)]
    assert len({pin.name for pin in found}) == len(found)
    return {pin.name: pin for pin in found}


def wanted(project: Mapping[str, Any], *extras: str) -> Iterator[Requirement]:
    """What a distribution asks of others; those of this repository are not locked."""
    lists = [project["dependencies"], *(project.get("optional-dependencies", {}).get(extra, []) for extra in extras)]
    for requirement in (Requirement(text) for texts in lists for text in texts):
        if not canonicalize_name(requirement.name).startswith("iiif-sidecar"):
            yield requirement


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "name, extras",
    [
        ("runtime", ("redis",)),
        ("tracing", ("redis", "tracing")),
        ("demo", ("redis", "sample")),
        ("dev", ("dev", "redis", "sample", "bench", "tracing")),
    ],
)
def test_all_that_is_wanted_is_locked(name: str, extras: Sequence[str], python: str, machine: str) -> None:
    """Every declared dependency is pinned within its bounds. If this fails: make lock."""
    found = installed(name, python, machine)
    for project in PROJECTS:
        for requirement in wanted(project["project"], *extras):
            if requirement.marker and not requirement.marker.evaluate(environment(python, machine)):
                continue
            pin = found[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin.version), f"{pin.name} {pin.version} is not {requirement}"


@pytest.mark.parametrize("name", FILES)
def test_only_versions_and_hashes(name: str) -> None:
    """A lock file pins versions to hashes and names no registry: whoever installs chooses it, or a mirror."""
    assert all(re.fullmatch("[0-9a-f]{64}", each) for pin in lock(name) for each in pin.hashes)
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert re.findall(r"://|--(?!hash)[a-z-]+|\.(?:org|com|io|net)\b", text) == []
    assert {path.stem for path in FOLDER.iterdir()} == {*FILES}


def test_the_files_agree() -> None:
    """What is served, shown and tested is the same: each file is a part of dev.txt."""
    every = {(str(pin.requirement), *pin.hashes) for pin in lock("dev")}
    for name in FILES:
        versions = {(pin.name, pin.version, *pin.hashes) for pin in lock(name)}
        assert versions <= {(pin.name, pin.version, *pin.hashes) for pin in lock("dev")}
    assert len(every) == len(lock("dev"))


def test_servers_get_no_tools() -> None:
    """What a server installs has neither tests nor build tools in it."""
    names = {pin.name for pin in lock("runtime")}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "uv", "pip-audit", "hatchling", "setuptools", "hypothesis"})
