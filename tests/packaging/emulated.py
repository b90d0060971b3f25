"""`make arm64-tests`: tests of what is native, run by Debian 12's Python for arm64 under qemu-user.

    python -m tests.packaging.emulated dist [arguments of pytest …]

What is locked is installed as for aarch64, with the wheels of the folder; OpenJPEG and libjpeg-turbo are Debian's for
arm64. Programs that tests start, as opj_compress, are this machine's: so pixels are compared between the two machines.
The files stand in `.run/arm64`, and nothing needs root. What cannot be had is named, and the status is 1 then.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.packaging.arm64 import PLATFORM, SOURCES
from tests.packaging.debian_arm64 import Apt
from tests.packaging.lock import FOLDER
from tests.packaging.roots import ROOT, Unreached
from tests.packaging.wheels import OUTSIDE, say

HOME: Final = ROOT / ".run" / "arm64"
SYSTEM: Final = HOME / "system"
PACKAGES: Final = HOME / "packages"
SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
DEBIAN: Final = (f"python{PYTHON}", "libopenjp2-7", "libstdc++6", "libturbojpeg0")
TOOLS: Final = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist", "tifffile")
TESTS: Final = (
    "plugins/jp2/tests/openjpeg/test_jp2_library.py",
    "plugins/jp2/tests/test_jp2_contract.py",
    "plugins/jp2/tests/test_jp2_reader.py",
    "plugins/htj2k/tests/test_htj2k_pixels.py",
    "plugins/tiff/tests/test_tiff_jpeg.py",
    "plugins/tiff/tests/test_tiff_pixels.py",
    "plugins/openslide/tests/test_openslide_contract.py",
    "plugins/openslide/tests/test_openslide_pixels.py",
    "plugins/turbojpeg/tests/test_turbojpeg_strips.py",
    "plugins/png/tests/test_png_lossless.py",
    "tests/unit/render/test_color.py",
    "tests/unit/render/test_resample.py",
    "tests/unit/render/test_tone.py",
)
"""What decodes, encodes and scales, and what decoders must hold; not what measures memory, or starts servers."""

LEFT_OUT: Final = "test_a_glymur_imported_before_keeps_its_library"
"""glymur looks for OpenJPEG by itself there: by ldconfig, which is this machine's."""


def emulator() -> str:
    """Return the path of qemu-user for aarch64. Raises Unreached."""
    found = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not found:
        raise Unreached("it takes qemu-aarch64 (Debian's qemu-user-static)")
    return found


def install(wheels: Path) -> None:
    """Fill the folders, unless they are there. Raises Unreached, CalledProcessError."""
    if not SYSTEM.exists():
        Apt.at(HOME / "apt", [SUITE]).extract(DEBIAN, SYSTEM)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(PACKAGES)]
    command += ["--python-version", PYTHON, "--python-platform", PLATFORM, "--only-binary", ":all:"]
    command += [word for name in SOURCES for word in ("--no-binary", name)]
    locked = ["--requirement", str(FOLDER / "runtime.txt"), "--constraints", str(FOLDER / "dev.txt")]
    subprocess.run([*command, *locked, *TOOLS], check=True)
    subprocess.run([*command, "--no-deps", "--reinstall", *map(str, sorted(wheels.glob("*.whl")))], check=True)


def interpreter() -> Path:
    """Return a command that runs the emulated Python, which takes it for its own file and starts others by it."""
    script = HOME / "python"
    python = SYSTEM / "usr" / "bin" / f"python{PYTHON}"
    variables = f"PYTHONHOME={SYSTEM}/usr PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={PACKAGES}${{PYTHONPATH:+:$PYTHONPATH}}"
    line = f'exec env {variables} {emulator()} -L {SYSTEM} -0 {script} {python} "$@"'
    script.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    script.chmod(0o755)
    return script


def main(wheels: Path, arguments: Sequence[str]) -> int:
    """Install and run; returns the status."""
    try:
        emulator()
        install(wheels)
        # Nothing is as fast as it is; nothing is written beside the tests.
        options = ["-p", "no:cacheprovider", "--timeout", "0", "-n", "0", "-rs", "-k", f"not {LEFT_OUT}"]
        paths = () if any((ROOT / each).exists() for each in arguments) else TESTS
        command = [str(interpreter()), "-m", "pytest", *options, *arguments, *paths]
        return subprocess.run(command, cwd=ROOT, env=OUTSIDE, check=False).returncode
    except Unreached as reason:
        say(f"arm64-tests: {reason}")
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
