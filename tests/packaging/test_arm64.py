"""The check for Arm64 fails if something is missing there: uv itself, with a folder in place of a registry."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from tests.packaging.arm64 import check_wheels, system_packages
from tests.packaging.lock import Pin

METADATA = "Metadata-Version: 2.4\nName: part\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What uv knows instead of a registry."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    return tmp_path


def build(folder: Path, tag: str) -> None:
    with ZipFile(folder / f"part-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr("part-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("part-1.0.dist-info/WHEEL", WHEEL.format(tag=tag))
        wheel.writestr("part-1.0.dist-info/RECORD", "")


@pytest.mark.parametrize(
    "tag", ["py3-none-any", "cp312-cp312-manylinux_2_28_aarch64", "cp311-abi3-manylinux2014_aarch64"]
)
def test_what_runs_there_passes(folder: Path, tag: str) -> None:
    """Pure Python, and wheels for aarch64 and this Python, of a C library that is old enough."""
    build(folder, tag)
    check_wheels([Pin(Requirement("part==1.0"), ())], "3.12")


@pytest.mark.parametrize(
    "tag",
    ["cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_39_aarch64", "cp313-cp313-manylinux_2_28_aarch64"],
)
def test_what_does_not_run_there_fails(folder: Path, tag: str) -> None:
    """Wheels for another machine, for a newer C library, or for another Python."""
    build(folder, tag)
    with pytest.raises(AssertionError, match="part"):
        check_wheels([Pin(Requirement("part==1.0"), ())], "3.12")


def test_other_machines_markers_count(folder: Path) -> None:
    """What is locked for x86-64 only need not be there."""
    build(folder, "cp312-cp312-manylinux_2_28_x86_64")
    check_wheels([Pin(Requirement("part==1.0; platform_machine == 'x86_64'"), ())], "3.12")


def test_system_packages_are_found() -> None:
    """Those of the container and of `.ci/packages`."""
    assert {"python3", "libopenjp2-7", "libturbojpeg0", "nginx-light", "ca-certificates"} <= {*system_packages()}
