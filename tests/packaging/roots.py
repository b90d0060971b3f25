"""Fresh Debian and Ubuntu systems in folders, made by debootstrap, and commands in them.

Each is kept in `.run/fresh/NAME` and used in a copy. Needs root, debootstrap, unshare and the distributions' mirrors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".run" / "fresh"
CERTIFICATES: Final = "/etc/pip-certificates.pem"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WRITABLE: Final = "mount --bind {0} {0} && mount -t proc proc {0}/proc"
_READ_ONLY: Final = (
    "mount --bind {0} {0} && mount -o remount,ro,bind {0} && mount -t proc proc {0}/proc && "
    "mount -t tmpfs -o mode=0700,uid={1} tmpfs {0}/tmp"
)


class Unreached(Exception):
    """A system cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A version of a distribution."""

    suite: str
    components: str = "main"
    script: str = ""
    """debootstrap's, which knows where packages are, if it knows this version only by an older one."""


DISTRIBUTIONS: Final = (
    Distribution("bookworm"),
    Distribution("trixie"),
    Distribution("noble", "main,universe", "gutsy"),
)


def _mirror(script: Path, suite: str) -> str:
    """Return the mirror that a script of debootstrap names; without that mirror's keyring it would take another."""
    first = 'default_mirror() { echo "$1"; exit; }; ARCH=$(dpkg --print-architecture) SUITE=$1; . "$0"'
    return subprocess.run(["sh", "-c", first, script, suite], capture_output=True, text=True, check=True).stdout.strip()


def base(distribution: Distribution) -> Path:
    """Return the folder with nothing but the distribution's smallest set. Raises Unreached."""
    folder = FOLDER / distribution.suite
    if (folder / ".ready").exists():
        return folder
    if os.geteuid() or not shutil.which("debootstrap"):
        raise Unreached("it takes root and debootstrap")
    shutil.rmtree(folder, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--components={distribution.components}"]
    scripts = Path("/usr/share/debootstrap/scripts")
    script = scripts / distribution.script
    told = [_mirror(script, distribution.suite), str(script)] if distribution.script else []
    done = subprocess.run(
        [*command, distribution.suite, str(folder), *told],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Unreached(lines[-1] if lines else "debootstrap failed")
    (folder / ".ready").touch()
    return folder


def copy(source: Path, name: str) -> Path:
    """Return a copy of a system to work in; one that is left from before is removed."""
    target = FOLDER / name
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    for path in ("/etc/resolv.conf", "/etc/hosts"):
        if Path(path).exists():
            shutil.copy(path, target / path[1:])
    if certificates := os.environ.get("PIP_CERT"):
        shutil.copy(certificates, target / CERTIFICATES[1:])
    return target


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a command in a system: what reaches the package index here, and what is given."""
    own = {"PATH": _PATH, "HOME": "/nonexistent", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    own |= {name: value for name, value in os.environ.items() if name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")}
    if os.environ.get("PIP_CERT"):
        own["PIP_CERT"] = CERTIFICATES
    return {**own, **(more or {})}


def inside(root: Path, command: Sequence[str], *, user: str = "", read_only: bool = False, at: str = "/") -> list[str]:
    """Return a command line that runs a command in a system, with processes of its own, which end with it.

    `user`: as `10001:10001`, else root; `read_only`: nothing but /tmp can be written; `at`: its working directory.
    """
    mounts = (_READ_ONLY if read_only else _WRITABLE).format(root, user.partition(":")[0] or 0)
    who: list[str] = []
    if user:
        uid, gid = user.split(":")
        who = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        who += ["--bounding-set=-all", "--inh-caps=-all"]
    script = f'{mounts} && exec /usr/sbin/chroot "$@"'
    chrooted = [str(root), *who, "env", "-C", at, *command]
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *chrooted]


def run(root: Path, command: Sequence[str], variables: Mapping[str, str] | None = None, *, at: str = "/") -> None:
    """Run a command in a system, as root. Raises CalledProcessError."""
    subprocess.run(inside(root, command, at=at), env=environment(variables), check=True)
