"""The Containerfile, built and run by podman. No registry is asked: its base is made by debootstrap and imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.packaging import containerfile, roots
from tests.packaging.roots import Unreached

NAME: Final = "iiif-sidecar"
STORE: Final = roots.FOLDER / "podman"
PROGRAMS: Final = ("podman", "runc")
_BUILDING: Final = (
    # chroot needs no rights that a container lacks; docker's format has the health check, podman's own has not.
    *("--file", str(containerfile.FILE), "--isolation", "chroot", "--format", "docker", "--pull=never"),
    # Layers in between would be kept, each a copy of all.
    "--layers=false",
)
_CLOSED: Final = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:mode=1777,size=64m", "--cap-drop", "ALL"),  # noqa: S108
    *("--security-opt", "no-new-privileges", "--memory", "2g", "--stop-timeout", "40"),
)
"""As docs/operate/container.md says."""
_HERE: Final = ("--network", "host", "--ulimit", "nofile=8192:8192", "--ulimit", "nproc=4096:4096")
"""What runs as root in a container itself needs: no networks and no limits above its own."""


def podman(*arguments: str) -> str:
    """Run podman, with images of its own; returns what it prints. Raises CalledProcessError."""
    store = ["--root", str(STORE / "images"), "--runroot", str(STORE / "run"), "--storage-driver", "vfs"]
    command = ["podman", *store, "--cgroup-manager", "cgroupfs", "--runtime", "runc", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def build(base: Path, image: str) -> None:
    """Build the Containerfile on a system in a folder, under the name of its base. Raises Unreached."""
    for program in PROGRAMS:
        if os.geteuid() or not shutil.which(program):
            raise Unreached("it takes root, podman and runc")
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "base.tar"
        subprocess.run(["tar", "--directory", str(base), "--create", "--file", str(packed), "."], check=True)
        podman("import", "--quiet", str(packed), f"docker.io/library/{image}")
        packed.unlink()
        context = Path(folder) / "context"
        containerfile.build_context(context)
        podman("build", "--quiet", *_BUILDING, *_index(Path(folder)), "--tag", NAME, str(context))


@contextmanager
def running(images: Path, port: int) -> Iterator[str]:
    """Run the image over a folder, as the docs say, with this machine's network. Raises CalledProcessError."""
    name = f"{NAME}-{port}"
    own = ["--env", f"SIDECAR_BIND=127.0.0.1:{port}", "--volume", f"{images}:/images:ro"]
    try:
        podman("run", "--detach", "--name", name, *_CLOSED, *_HERE, *own, NAME)
        yield name
    finally:
        podman("rm", "--force", "--ignore", name)


def inspect(name: str) -> Mapping[str, Any]:
    """Return what podman knows of a container."""
    found: list[Mapping[str, Any]] = json.loads(podman("inspect", name))
    return found[0]


def _index(folder: Path) -> Sequence[str]:
    """Return what lets pip reach the package index during the build as it is reached here; nothing of it stays."""
    lines = ["[global]"]
    options: list[str] = []
    if certificates := os.environ.get("PIP_CERT"):
        lines.append(f"cert = {roots.CERTIFICATES}")
        options += ["--volume", f"{certificates}:{roots.CERTIFICATES}:ro"]
    if index := os.environ.get("PIP_INDEX_URL"):
        lines.append(f"index-url = {index}")
    settings = folder / "pip.conf"
    settings.write_text("\n".join(lines), encoding="utf-8")
    return [*options, "--volume", f"{settings}:/etc/pip.conf:ro"]
