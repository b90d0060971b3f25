"""A start rehearsed in a process of its own: whether a worker could start with the settings as they are now.

gunicorn's master loads no native library and no plugin's code, and must not crash or hang with one. So a child does
what a worker does at its start, writes down what came of it (`python -m sidecar.server.rehearsal`), and ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Self

import sidecar
from sidecar.config import Settings, core
from sidecar.errors import StartError
from sidecar.server import shared_dir, slots

_PATIENCE: Final = 60.0
"""Seconds that a rehearsal may take: as long as a worker whose event loop stands still."""


@dataclass(frozen=True, slots=True)
class MasterSettings:
    """The settings that the master itself follows."""

    bind: str
    workers: int
    log_level: str
    quarantine: float
    """Seconds."""
    slots: Sequence[str] = ()
    """Addresses, one for each worker; see sidecar.server.slots."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take them from all settings. Raises StartError if there cannot be as many slots as workers."""
        found = slots.addresses(settings.bind, settings.worker_bind, settings.workers)
        return cls(settings.bind, settings.workers, settings.log_level, settings.quarantine, found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a rehearsal."""

    problem: str
    """Why a worker could not start; empty if it could."""
    settings: MasterSettings | None = None
    """Given if there is no problem."""


class Rehearsal:
    """A rehearsal under way, seen by the master."""

    def __init__(self) -> None:
        """Begin it. Raises OSError if no process can be started."""
        # Neither its metrics nor its crash are a worker's.
        environment = {name: value for name, value in os.environ.items() if name not in shared_dir.VARIABLES}
        command = [sys.executable, "-m", "sidecar.server.rehearsal"]
        self._pipe, writing = os.pipe()
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writing, env=environment)  # noqa: S603  # our own
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(writing)
        self._written = b""
        self._ends = time.monotonic() + _PATIENCE
        os.set_blocking(self._pipe, False)

    def outcome(self) -> Outcome | None:
        """Return what came of it; None while it goes on. To be asked until it is over.

        The master collects the status of every child that ends, so this looks at what the child has written.
        """
        try:
            while some := os.read(self._pipe, 65536):
                self._written += some
        except BlockingIOError:
            if time.monotonic() < self._ends:
                return None
            self.close()
            return Outcome(f"the settings could not be checked within {_PATIENCE:.0f} seconds")
        self.close()
        return _read(self._written)

    def close(self) -> None:
        """End it, whatever it does; called once, unless `outcome` has returned one."""
        os.close(self._pipe)
        self._process.kill()
        self._process.wait()


def _read(written: bytes) -> Outcome:
    try:
        content = json.loads(written)
    except ValueError:
        return Outcome("the check of the settings ended early; a library or a plugin may have crashed it")
    if content["problem"]:
        return Outcome(content["problem"])
    if content["version"] != sidecar.__version__:
        # New workers would load new code beside the master's old one.
        return Outcome(
            f"version {content['version']} is installed and {sidecar.__version__} runs; a reload is not an upgrade"
        )
    return Outcome("", MasterSettings(**content["settings"]))


def rehearse(environment: Mapping[str, str] = os.environ) -> MasterSettings:
    """Read all settings, load all plugins and libraries, and make a worker's application. Raises StartError, OSError.

    Raises whatever a plugin raises that is broken.
    """
    # Not in the master, which imports this module.
    from sidecar import startup  # noqa: PLC0415
    from sidecar.plugin import run_inline  # noqa: PLC0415
    from sidecar.server import sandbox  # noqa: PLC0415
    from sidecar.server.application import create_app  # noqa: PLC0415

    found = startup.setup(environment)
    sandbox.check(core(found.config).sandbox)
    create_app(found.config, found.plugins.load(found.config, run_inline)).close()
    return MasterSettings.of(core(found.config))


def main() -> None:
    """Rehearse, and write down what came of it."""
    problem, settings = "", None
    try:
        settings = asdict(rehearse())
    except (StartError, OSError) as error:
        problem = "; ".join(str(error).splitlines())
    except Exception as error:  # noqa: BLE001  # whatever a plugin does
        traceback.print_exc()
        problem = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps({"problem": problem, "settings": settings, "version": sidecar.__version__}))


if __name__ == "__main__":
    main()
