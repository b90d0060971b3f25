"""Wrong settings: at start, at a reload; a port that is taken."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from tests.nginx.servers import wait_for
from tests.resilience.attack.attack import Attack, Outcome
from tests.resilience.attack.ground import TILE, WORKERS, Ground
from tests.resilience.attack.processes import QUICK, begun, load, told
from tests.resilience.attack.wire import fetch

WRONG: Final = (
    "max_pixels = -5\n",
    "queue_size = -1\n",
    "no_such_setting = 1\n",
    'background_color = "red"\n',
    "threads = 'many'\n",
    "= broken\n",
)
WAIT: Final = 3.0


def reloaded(ground: Ground) -> Outcome:
    """Send SIGHUP with each wrong setting under load; then with the right ones."""
    path = ground.home / "site" / "sidecar.toml"
    right, faults = path.read_text(), []
    with load(ground) as seen:
        for wrong in WRONG:
            path.write_text(wrong + right)
            os.kill(ground.sidecar.process.pid, signal.SIGHUP)
            time.sleep(WAIT)
            if fetch(ground.sidecar.port, TILE, patience=5).status != 200:
                faults.append(f"{wrong.strip()}: the sidecar itself answers nobody")
            if not ground.sidecar.process.running:
                faults.append(f"{wrong.strip()}: the sidecar has ended")
                path.write_text(right)
                ground.sidecar.start()
        path.write_text(right)
        before = ground.workers
        os.kill(ground.sidecar.process.pid, signal.SIGHUP)
        wait_for(lambda: len({*ground.workers} - {*before}) >= WORKERS, "new workers")
        wait_for(lambda: ground.sidecar.healthy, "they answer")
    if seen["handed over"] > seen.total() // 2:
        faults.append(f"{seen['handed over']} of {seen.total()} answers were Cantaloupe's")
    return told(seen, *faults)


def started(ground: Ground) -> Outcome:
    """Start with each wrong setting: it ends at once, with a line that names the setting, and without a traceback."""
    faults = []
    for wrong in WRONG:
        status, log, seconds = begun(ground, toml=wrong)
        if status is None:
            faults.append(f"{wrong.strip()}: still running after {QUICK:.0f} s")
        elif not status:
            faults.append(f"{wrong.strip()}: status 0")
        if "Traceback" in log:
            faults.append(f"{wrong.strip()}: a traceback")
        name = wrong.partition("=")[0].strip()
        if name.upper() not in log.upper():
            faults.append(f"{wrong.strip()}: the text does not name it")
        del seconds
    return Outcome(len(WRONG), faults, "ended at once, in words")


def bound_twice(ground: Ground) -> Outcome:
    """Start a second sidecar on the port of the first."""
    status, log, seconds = begun(ground, port=ground.sidecar.port)
    lines, faults = [line for line in log.splitlines() if line.strip()], []
    if not status:
        faults.append("no failure" if status == 0 else f"still trying after {QUICK:.0f} s")
    if len(lines) > 2 or "Traceback" in log:
        faults.append(f"{len(lines)} lines")
    if fetch(ground.sidecar.port, TILE).status != 200:
        faults.append("the first does not answer any more")
    return Outcome(1, faults, f"{len(lines)} line, after {seconds:.1f} s")


ATTACKS: Final = (
    Attack("SIGHUP with a wrong setting, 6 of them, under load", "settings", "the old workers stay", reloaded),
    Attack("wrong settings at start", "settings", "ends at once and names the setting", started),
    Attack("a port that is taken", "settings", "one line, at once", bound_twice),
)
