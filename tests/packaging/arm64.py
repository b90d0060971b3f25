"""`make arm64`: everything that is installed is there for Arm64: wheels, pure Python, or packages of Debian.

    python -m tests.packaging.arm64 requirements/dev.txt

The status is 1 if anything is missing, and 0 if the registries cannot be reached, which says nothing of the project.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.packaging import containerfile
from tests.packaging.debian_arm64 import SUITES, Apt
from tests.packaging.lock import PYTHONS, Pin, pins
from tests.packaging.roots import ROOT, Unreached
from tests.packaging.wheels import say

SOURCES: Final = ("iiif-validator", "pyturbojpeg")
"""Those without wheels, which are pure Python."""
PLATFORM: Final = "aarch64-manylinux_2_34"
"""The oldest C library among those that run it: Amazon Linux 2023's; Debian 12 has 2.36."""
UNREACHED: Final = ("error sending request", "dns error", "Failed to fetch", "network was disabled")
_INSTALLED: Final = re.compile(r"""(?:missing="\$missing|--no-install-recommends)(?P<names>(?: [a-z][a-z0-9.+-]+)+)""")


def check_wheels(found: Sequence[Pin], python: str) -> None:
    """Let uv choose files for aarch64 that need no compiler. Raises Unreached, AssertionError."""
    listed = "".join(f"{pin.requirement}\n" for pin in found if pin.name not in SOURCES)
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--only-binary", ":all:"]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--target", folder, "--python-version", python, "--python-platform", PLATFORM, "--requirement", "-"]
        done = subprocess.run(command, input=listed, capture_output=True, text=True, check=False)
    if done.returncode and any(sign in done.stderr for sign in UNREACHED):
        raise Unreached(done.stderr.strip().splitlines()[-1].strip())
    assert not done.returncode, done.stderr


def check_sources(found: Sequence[Pin]) -> None:
    """Build what has no wheels, and see that nothing of it is of one machine. Raises Unreached, AssertionError."""
    listed = [str(pin.requirement) for pin in found if pin.name in SOURCES]
    assert len(listed) == len(SOURCES), f"of {SOURCES} only {listed} are locked"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(
            [*command, "--wheel-dir", folder, *listed], capture_output=True, text=True, cwd=folder, check=False
        )
        if done.returncode:
            raise Unreached(done.stderr.strip().splitlines()[-1])
        built = [path.name for path in Path(folder).glob("*.whl")]
    assert all(name.endswith("-none-any.whl") for name in built), built


def system_packages() -> Sequence[str]:
    """Return what the container and `.ci/packages` install of Debian."""
    texts = (path.read_text(encoding="utf-8") for path in (containerfile.FILE, ROOT / ".ci" / "packages"))
    return sorted({name for text in texts for each in _INSTALLED.finditer(text) for name in each["names"].split()})


def check_packages(names: Sequence[str]) -> None:
    """Look for Debian's packages. Raises Unreached, AssertionError."""
    with tempfile.TemporaryDirectory() as folder:
        found = Apt.at(Path(folder)).suites(names)
    missing = {name: {*SUITES} - suites for name, suites in found.items() if suites != {*SUITES}}
    assert not missing, f"not there for arm64: {missing}"


def checks(lock: Path) -> Iterator[str]:
    """Check one after the other; yields what was found. Raises Unreached, AssertionError."""
    found = [*pins(lock)]
    for python in PYTHONS:
        check_wheels(found, python)
    yield f"all of {lock.name} has wheels for {PLATFORM} or is pure Python ({', '.join(PYTHONS)})"
    check_sources(found)
    yield f"{', '.join(SOURCES)}: built into pure Python"
    names = system_packages()
    check_packages(names)
    yield f"Debian {', '.join(SUITES)} has {', '.join(names)}"


def main(lock: Path) -> int:
    """Check everything and return the status."""
    try:
        for line in checks(lock):
            say(f"arm64: {line}")
    except Unreached as reason:
        say(f"arm64: SKIPPED, the registries cannot be reached: {reason}")
    except AssertionError as reason:
        say(f"arm64: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
