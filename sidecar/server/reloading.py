"""Reloads of the master as nginx does them: checked first, and the old workers stay until the new ones serve."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.errors import StartError
from sidecar.server import listeners
from sidecar.server.rehearsal import MasterSettings, Outcome, Rehearsal
from sidecar.server.reloads import RELOADS
from sidecar.server.workers import state, staying

if TYPE_CHECKING:
    from sidecar.server.master import Master


@dataclass(frozen=True, slots=True)
class Former:
    """What there was before a reload."""

    newest: int
    """The age of the newest worker."""
    failures: int
    """Starts that had failed."""
    workers: int
    """How many there should be."""
    bind: list[str]
    """Addresses, those of slots included."""
    slots: Sequence[str]
    sockets: list[Any]


class Reloading:
    """The reload under way, if there is one."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._rehearsal: Rehearsal | None = None
        self._former: Former | None = None
        """Set while new workers are on their way to take the places of the old ones."""
        self._again = False

    def begin(self) -> None:
        """Begin a reload, or another one after that which is under way."""
        if self._rehearsal or self._former:
            self._again = True
            return
        try:
            self._rehearsal = Rehearsal()
        except OSError as error:
            self._failed(f"no process could be started to check it: {error}")

    def go_on(self) -> bool:
        """Do what there is to do; called at least once a second. Returns whether workers are being renewed."""
        if self._rehearsal and (outcome := self._rehearsal.outcome()):
            self._rehearsal = None
            self._after(outcome)
        if self._former:
            self._renew(self._former)
        if self._again and not (self._rehearsal or self._former):
            self._again = False
            self.begin()
        return self._former is not None

    def close(self) -> None:
        """End the check, if there is one."""
        if self._rehearsal:
            self._rehearsal.close()
            self._rehearsal = None

    def _after(self, outcome: Outcome) -> None:
        """Let new workers start if the check has found nothing wrong."""
        master = self._master
        former = Former(
            master.worker_age, master.pace.failures, master.num_workers, self._bind, master.slots, master.LISTENERS
        )
        if outcome.settings is None:
            self._failed(outcome.problem)
            return
        try:
            self._follow(outcome.settings)
        except StartError as error:
            self._listen_as(former.bind, former.slots)
            self._failed(str(error))
            return
        master.pace.hurry()
        if staying(master.WORKERS.values()):
            self._former = former
        else:
            RELOADS.count(failed=False)

    def _follow(self, settings: MasterSettings) -> None:
        """Take over what is the master's own. Raises StartError if it cannot listen where it should."""
        master = self._master
        self._move([part.strip() for part in settings.bind.split(",")], [*settings.slots])
        self._set_workers(settings.workers)
        master.quarantine = settings.quarantine
        logging.getLogger("gunicorn.error").setLevel(settings.log_level.upper())
        master.log.reopen_files()

    def _move(self, bind: list[str], slots: Sequence[str]) -> None:
        """Listen elsewhere, or at more slots. Raises StartError if that is not possible."""
        master = self._master
        moves = bind != [each for each in self._bind if each not in master.slots]
        # Slots that there are too many stay: nginx may go on sending images there, and workers own several.
        if not moves and slots == [*master.slots][: len(slots)]:
            return
        if master.given:
            if moves:
                master.log.warning("SIDECAR_BIND is not followed: the socket was opened by somebody else")
            return
        self._listen_as([*bind, *slots], slots)
        if master.closed:
            listeners.closed(master.LISTENERS)
            master.LISTENERS = []
        else:
            master.LISTENERS = listeners.opened(master.cfg, master.log, slots, former=master.LISTENERS)

    def _listen_as(self, bind: list[str], slots: Sequence[str]) -> None:
        self._master.cfg.set("bind", bind)
        self._master.slots = slots

    @property
    def _bind(self) -> list[str]:
        return [*self._master.cfg.settings["bind"].value]

    def _set_workers(self, count: int) -> None:
        self._master.cfg.set("workers", count)
        self._master.num_workers = count

    def _renew(self, former: Former) -> None:
        """Start new workers; stop the old ones when the new ones serve, or the new ones if one cannot start."""
        master = self._master
        workers = staying(master.WORKERS.values())
        new = [worker for worker in workers if worker.age > former.newest]
        if master.pace.failures > former.failures:
            self._undo(former, new)
        elif len(new) < master.num_workers:
            for _ in range(master.num_workers - len(new)):
                master.spawn_worker()
        elif all(state(worker).serves for worker in new):
            for worker in workers:
                if worker not in new[: master.num_workers]:
                    master.kill_worker(worker.pid, signal.SIGTERM)
            listeners.closed(each for each in former.sockets if each not in master.LISTENERS)
            self._former = None
            RELOADS.count(failed=False)
            master.log.info("Reloaded: %s new workers serve.", master.num_workers)

    def _undo(self, former: Former, new: list[Any]) -> None:
        """Stop the new workers; the old ones stay."""
        master = self._master
        self._former = None
        for worker in new:
            master.kill_worker(worker.pid, signal.SIGTERM)
        listeners.closed(each for each in master.LISTENERS if each not in former.sockets)
        master.LISTENERS = former.sockets
        self._listen_as(former.bind, former.slots)
        self._set_workers(former.workers)
        self._failed("a new worker could not start")

    def _failed(self, problem: str) -> None:
        RELOADS.count(failed=True)
        self._master.log.error("Reload failed, everything stays as it is: %s", problem)
