"""A system of tests.packaging.roots, booted: systemd is its first process, with a name space of processes of its own.

Its network is this machine's, so that what listens there on loopback can be asked from here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.nginx.servers import wait_for
from tests.packaging import roots
from tests.packaging.roots import Unreached

_LANDLOCK: Final = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
"""System calls that older versions of systemd-nspawn do not know, and forbid."""
_NSPAWN: Final = (
    *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=pipe"),
    f"--system-call-filter={_LANDLOCK}",
)
_SECONDS: Final = 30
"""That it may take to go down."""


@dataclass(frozen=True, slots=True)
class Booted:
    """A running system."""

    init: int
    """The process that is its first one, as this machine numbers it."""

    def run(self, *command: str) -> str:
        """Run a command in it, as root; returns what it prints. Raises CalledProcessError."""
        done = self.attempt(*command)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        inside = ["nsenter", "--target", str(self.init), "--all", "--root", "--wd=/", *command]
        return subprocess.run(inside, env=roots.environment(), capture_output=True, text=True, check=False)

    @property
    def is_up(self) -> bool:
        """Whether everything that is to run has started, or failed to."""
        return self.attempt("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


@contextmanager
def booted(root: Path) -> Iterator[Booted]:
    """Boot a system that has systemd, and shut it down in the end. Raises Unreached."""
    if not shutil.which("systemd-nspawn"):
        raise Unreached("it takes systemd-nspawn (Debian's systemd-container)")
    command = [*_NSPAWN, "--directory", str(root)]
    with (
        root.with_suffix(".boot").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for(lambda: process.poll() is not None or _up(process.pid) is not None, "the system is up")
            if (system := _up(process.pid)) is None:
                raise Unreached(f"systemd-nspawn boots nothing here, see {log.name}")
            yield system
        finally:
            _shut_down(process)


def _up(process: int) -> Booted | None:
    """Return the system that systemd-nspawn has booted, once all is started. Its first child only prepares that."""
    return next((each for each in map(Booted, _children(process)) if each.is_up), None)


def _children(process: int) -> Sequence[int]:
    """Return the processes that one has started."""
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _shut_down(process: subprocess.Popen[bytes]) -> None:
    """Let systemd-nspawn shut its system down; end both if that takes too long."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        for each in (*_children(process.pid), process.pid):
            os.kill(each, signal.SIGKILL)
