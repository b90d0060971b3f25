"""Every distribution of this repository has the same version, bounds and metadata."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import sidecar

ROOT: Final = Path(__file__).parents[2]
PLUGINS: Final = sorted(ROOT.glob("plugins/*/pyproject.toml"))
EXAMPLES: Final = sorted(ROOT.glob("examples/*/pyproject.toml"))
CORE: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.parent.name


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PLUGINS, ids=name_of)
def test_version_is_the_cores(path: Path) -> None:
    """A plugin takes its version from the file that holds the core's."""
    found = read(path)
    assert found["project"]["dynamic"] == ["version"]
    assert (path.parent / found["tool"]["hatch"]["version"]["path"]).samefile(ROOT / "sidecar" / "__init__.py")


@pytest.mark.parametrize("path", [*PLUGINS, *EXAMPLES], ids=name_of)
def test_core_is_bounded(path: Path) -> None:
    """A plugin allows this version of the core, and neither the minor version before nor the one after."""
    needed = map(Requirement, read(path)["project"]["dependencies"])
    (bounds,) = (requirement.specifier for requirement in needed if requirement.name == "iiif-sidecar")
    major, minor, *_ = Version(sidecar.__version__).release
    allowed = [bounds.contains(f"{major}.{number}.0") for number in (minor - 1, minor, minor + 1)]
    assert allowed == [False, True, False]


@pytest.mark.parametrize("path", [ROOT / "pyproject.toml", *PLUGINS], ids=name_of)
def test_licence_lies_beside(path: Path) -> None:
    """A distribution names the licence and has its text."""
    project = read(path)["project"]
    assert project["license"] == "MIT"
    for file in project["license-files"]:
        assert (path.parent / file).read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_all_names_every_plugin() -> None:
    """The extra `all` has each plugin, within this version's bounds."""
    extra = [*map(Requirement, CORE["project"]["optional-dependencies"]["all"])]
    assert {requirement.name for requirement in extra} == {read(path)["project"]["name"] for path in PLUGINS}
    assert all(requirement.specifier.contains(sidecar.__version__) for requirement in extra)


def test_import_rules_cover_every_plugin() -> None:
    """The direction of imports is checked for each plugin."""
    packages = {f"sidecar_{name_of(path)}" for path in PLUGINS}
    linter = CORE["tool"]["importlinter"]
    assert packages == {*linter["root_packages"]} - {"sidecar"}
    for contract in linter["contracts"]:
        if contract["name"].startswith("Plugins"):
            assert packages <= {*contract.get("source_modules", ()), *contract.get("modules", ())}
