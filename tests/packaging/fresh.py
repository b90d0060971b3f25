"""`make fresh`: the wheels on fresh Debian 12, 13 and Ubuntu 24.04, and the container's steps, each serving a picture.

Debian 12 is booted, too: systemd runs the unit, Debian's nginx stands in front, and Chromium shows the viewer.

    python -m tests.packaging.fresh dist [words …]

By hand and not in CI: it takes root, debootstrap, some minutes and 3 GB in `.run/fresh`. What cannot be reached is
named and passed over; the status is 1 if anything else goes wrong, or nothing could be tried. Words choose from
`bookworm`, `trixie`, `noble`, `container` and `podman`.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from PIL import Image

from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Process, free_port, wait_for
from tests.packaging import containerfile, podman, roots, site
from tests.packaging.roots import DISTRIBUTIONS, Distribution, Unreached
from tests.packaging.site import SIDECAR
from tests.packaging.wheels import IMAGE, SIZE, answers, say

USER: Final = "10001:10001"
PACKAGES: Final = ("ca-certificates", "python3-venv", "libopenjp2-7", "libturbojpeg0")
"""As docs/install.md names them; Ubuntu has the last one under another name."""
BOOTED: Final = "bookworm"
"""The one that is booted: newer versions of systemd do not boot on machines with the first version of cgroups."""


def install(distribution: Distribution, wheels: Path) -> Path:
    """Install the wheels as docs/install.md says; returns the system's folder. Raises Unreached, CalledProcessError."""
    root = roots.copy(roots.base(distribution), f"{distribution.suite}-wheels")
    turbojpeg = "libturbojpeg" if distribution.suite == "noble" else "libturbojpeg0"
    packages = [*PACKAGES[:-1], turbojpeg]
    roots.run(root, ["apt-get", "update", "-q"])
    roots.run(root, ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages])
    (root / "wheels").mkdir()
    for wheel in wheels.glob("*.whl"):
        shutil.copy(wheel, root / "wheels")
    roots.run(root, ["python3", "-m", "venv", "/opt/sidecar"])
    roots.run(root, ["/opt/sidecar/bin/pip", "install", "--quiet", "--find-links", "/wheels", "iiif-sidecar[all]"])
    return root


def check(root: Path, variables: Mapping[str, str], command: Sequence[str], health: Sequence[str]) -> None:
    """Start the sidecar as a user without rights, on a root that cannot be written. Raises AssertionError."""
    assert not [*root.glob("usr/bin/*-gcc*"), *root.glob("usr/bin/cc")], "there is a compiler"
    (root / "images").mkdir(exist_ok=True)
    shutil.copy(IMAGE, root / "images" / "tiled_512.jp2")
    port = free_port()
    log = root.with_suffix(".log")
    log.unlink(missing_ok=True)
    own = roots.environment({**variables, "SIDECAR_BIND": f"{HOST}:{port}", "SIDECAR_FILESYSTEM_ROOT": "/images"})
    process = Process(roots.inside(root, command, user=USER, read_only=True), log, own)
    try:
        wait_for(lambda: not process.running or answers(port), "the sidecar answers")
        assert process.running, log.read_text()
        see_a_picture(port)
        asked = subprocess.run(
            roots.inside(root, health, user=USER, read_only=True), env=own, capture_output=True, text=True, check=False
        )
        assert (asked.returncode, asked.stdout) == (0, "ok\n"), asked
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        say(f"  {next(each['version'] for each in lines if each['event'] == 'starting')} serves")
    finally:
        process.stop(signal.SIGTERM)


def see_a_picture(port: int) -> None:
    """Ask for info.json and a picture of each format. Raises AssertionError."""
    info = json.loads(ask(port, "/iiif/3/tiled_512.jp2/info.json").body)
    assert (info["width"], info["height"]) == SIZE, info
    for end in ("jpg", "png"):
        response = ask(port, f"/iiif/3/tiled_512.jp2/512,512,512,512/256,/0/default.{end}")
        assert response.status == 200, (end, response.status, response.text)
        with Image.open(io.BytesIO(response.body)) as picture:
            assert picture.size == (256, 256)


def check_wheels(distribution: Distribution, wheels: Path) -> None:
    """Install and serve. Raises Unreached, CalledProcessError, AssertionError."""
    root = install(distribution, wheels)
    check(root, {}, [SIDECAR, "serve"], [SIDECAR, "health"])
    if distribution.suite == BOOTED:
        site.check(root)


def check_container() -> None:
    """Do the container's steps and serve. Raises Unreached, CalledProcessError, AssertionError."""
    every = containerfile.stages(containerfile.FILE.read_text(encoding="utf-8"))
    (debian,) = (each for each in DISTRIBUTIONS if each.suite == "trixie")
    assert {stage.image for stage in every} == {"debian:13-slim"}, "which is what is made here"
    with tempfile.TemporaryDirectory() as context:
        root = containerfile.replay(every, roots.base(debian), containerfile.build_context(Path(context)))
    last = every[-1]
    assert last.last("USER") == USER
    size = sum(path.lstat().st_size for path in (root / "opt/sidecar").rglob("*"))
    say(f"  /opt/sidecar has {size / 1e6:.0f} MB")
    check(root, last.variables, last.command, last.health)


def check_podman() -> None:
    """Build the container and run it. Raises Unreached, CalledProcessError, AssertionError."""
    (image,) = {stage.image for stage in containerfile.stages(containerfile.FILE.read_text(encoding="utf-8"))}
    (debian,) = (each for each in DISTRIBUTIONS if each.suite == "trixie")
    podman.build(roots.base(debian), image)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copy(IMAGE, folder)
        with podman.running(Path(folder), port) as name:
            wait_for(lambda: answers(port), "the sidecar answers")
            see_a_picture(port)
            found = podman.inspect(name)
            assert (found["Config"]["User"], found["HostConfig"]["ReadonlyRootfs"]) == (USER, True), found
            podman.podman("healthcheck", "run", name)
            podman.podman("stop", name)
            assert podman.inspect(name)["State"]["ExitCode"] == 0, "it was killed"
    say("  podman builds and runs it")


def main(wheels: Path, words: Sequence[str]) -> int:
    """Try everything; returns the status."""
    checks: dict[str, Callable[[], None]] = {
        each.suite: partial(check_wheels, each, wheels) for each in DISTRIBUTIONS
    } | {"container": check_container, "podman": check_podman}
    done = 0
    for name, each in checks.items():
        if words and name not in words:
            continue
        say(name)
        try:
            each()
        except Unreached as reason:
            say(f"  passed over: {reason}")
        else:
            done += 1
    say(f"{done} passed")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
