"""gunicorn's master, with reloads as nginx does them, and a socket that is closed while no worker can serve.

`python -m sidecar.server.master --config python:sidecar.server.gunicorn_conf` is what `sidecar serve` runs.

gunicorn's own master stops the workers that serve as soon as it has started new ones, and ends altogether if one of
these cannot load. This one checks everything first, in a process of its own; then it starts new workers, and stops the
old ones when the new ones serve. If anything of that fails, the old ones stay. So a wrong setting stops nothing.

If no worker serves and none can start, requests would wait in the socket's queue until nginx gives up on them. So the
socket is closed: nginx asks Cantaloupe at once. It is bound again and does not listen until a worker is ready. If all
workers are killed at once, those who come until a new one serves are turned away.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from gunicorn.app.wsgiapp import WSGIApplication  # type: ignore[import-untyped]  # it has no annotations
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]  # as above
from gunicorn.config import Config  # type: ignore[import-untyped]  # as above
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]  # as above

from sidecar.errors import StartError
from sidecar.server import listeners
from sidecar.server.reloading import Reloading
from sidecar.server.restarts import RESTARTS
from sidecar.server.slot_owners import OWNERS
from sidecar.server.workers import Pace, state, staying

_STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_TURN: Final = 0.1
"""Seconds between two looks at a socket that stays open while nobody serves."""


class Master(Arbiter):  # type: ignore[misc]  # as above
    """The master process."""

    def __init__(self, app: Any, slots: Sequence[str] = ()) -> None:
        """`slots`: addresses at which one worker listens by itself, among those of gunicorn's configuration."""
        super().__init__(app)
        self.slots = slots
        # For SIGUSR2: the new version checks everything before it becomes a master.
        self.START_CTX["args"] = [sys.executable, "-m", "sidecar", "serve"]
        self.pace = Pace()
        self.quarantine = 0.0
        """Seconds for which an image that has crashed a worker is handed over; set by gunicorn_conf and by reloads."""
        self.given = False
        """Whether somebody else has opened the sockets."""
        self.closed = False
        """Whether connections are refused, since nobody could serve them."""
        self._complete = False
        self._served = False
        self._reloading = Reloading(self)
        self._own: list[Any] = []
        """The sockets that this master has opened beside those of somebody else."""

    # What gunicorn calls.

    def start(self) -> None:
        """Begin to listen. Raises StartError with one line if that is not possible."""
        self.given = listeners.are_given(self.cfg)
        if not self.given:
            # Bound only: until a worker is ready, and listens, nginx is refused and asks Cantaloupe at once.
            self.LISTENERS = listeners.opened(self.cfg, self.log, self.slots, heard=False)
        super().start()
        if self.given and not self.master_pid:
            self._open_slots()
        if os.geteuid() == 0:
            self.log.warning(
                "The sidecar runs as root. It decodes files from anywhere: give it a user of its own, who may only "
                "read the images (docs/install.md)"
            )

    def handle_hup(self) -> None:
        """Begin a reload: SIGHUP."""
        self._reloading.begin()

    def reap_workers(self) -> None:
        """Take note of workers that have ended, and of a new version that could not start."""
        before, upgrading = dict(self.WORKERS), self.reexec_pid
        super().reap_workers()
        for pid, worker in before.items():
            if pid in self.WORKERS or state(worker).dismissed:
                continue
            RESTARTS.count()
            if not state(worker).serves:
                self.pace.failed()
        if upgrading and not self.reexec_pid:
            self.log.info("The other master (pid: %s) has ended; this one goes on.", upgrading)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send a signal to a worker."""
        if sig in _STOPS and pid in self.WORKERS:
            state(self.WORKERS[pid]).dismissed = True
        super().kill_worker(pid, sig)

    def manage_workers(self) -> None:
        """Start and stop workers, as many as there should be; called at least once a second."""
        if not self._reloading.go_on():
            self._keep()
        serving = [worker.pid for worker in staying(self.WORKERS.values()) if state(worker).serves]
        OWNERS.assign(len(self.slots), self.num_workers, serving)

    def spawn_worker(self) -> None:
        """Start a worker; what keeps the system from doing so is a failed start like any other."""
        try:
            super().spawn_worker()
        except OSError as error:
            self.log.error("No worker can be started: %s", error)  # noqa: TRY400  # the text is enough
            self.pace.failed()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Return what came within some seconds."""
        if (self.closed and self.given) or self._bereft:
            listeners.turn_away(self.LISTENERS)
            timeout = _TURN
        found: list[int] = super().wait_for_signals(timeout)
        return found

    def reexec(self) -> None:
        """Start another master beside this one, on the same sockets: SIGUSR2."""
        if not self.LISTENERS:
            self.log.error("No worker serves, so there is nothing to hand over: restart instead of SIGUSR2")
            return
        every = self.LISTENERS
        if self.systemd:  # whose sockets are told by their number alone (sd_listen_fds(3))
            self.LISTENERS = [each for each in every if each not in self._own]
        super().reexec()
        self.LISTENERS = every

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002  # gunicorn's signature
        """Stop everything."""
        self._reloading.close()
        super().stop(graceful)

    # Workers in their number.

    def _keep(self) -> None:
        """Have as many workers as there should be, and a socket if there is one that serves or may soon."""
        workers = staying(self.WORKERS.values())
        if any(state(worker).serves for worker in workers):
            self._serving()
        if workers and workers[-1].age == self.worker_age and state(workers[-1]).serves:
            self.pace.succeeded()
        for worker in workers[: max(0, len(workers) - self.num_workers)]:
            self.kill_worker(worker.pid, signal.SIGTERM)
        missing = self.num_workers - len(workers)
        self._say_complete(is_so=missing <= 0 and all(state(worker).serves for worker in workers))
        if self.pace.failing:
            if not workers:
                self._close()
            # One tries for all.
            missing = int(self.pace.due and all(state(worker).serves for worker in workers) and missing > 0)
        if missing > 0 and self._bound():
            for _ in range(missing):
                self.spawn_worker()

    @property
    def _bereft(self) -> bool:
        """Whether all workers are gone at once that have served, here and in another master on the same sockets.

        New ones need about a second; before a first one has served, whoever waits was meant to (systemd.socket(5)).
        """
        if not (self._served and self.num_workers) or self.reexec_pid or self.master_pid:
            return False
        return not any(state(worker).serves for worker in self.WORKERS.values())

    def _serving(self) -> None:
        self._served = True
        if self.closed:
            self.log.info("A worker serves again.")
        self.closed = False

    def _say_complete(self, *, is_so: bool) -> None:
        """Log when all workers serve: after SIGUSR2 the former master may then be stopped."""
        if is_so and not self._complete:
            self.log.info("All %s workers of master %s serve.", self.num_workers, os.getpid())
        self._complete = is_so

    def _close(self) -> None:
        # Another master serves on the same sockets: without their paths nobody could reach it (unix(7)).
        if self.closed or self.reexec_pid:
            return
        if self.master_pid:
            raise HaltServer("no worker can start; the former master goes on", 1)
        self.closed = True
        self.log.error("No worker can start: connections are refused until one can.")
        if not self.given:
            listeners.closed(self.LISTENERS)
            self.LISTENERS = []

    def _bound(self) -> bool:
        """Return whether there are sockets for a new worker; binds those that were closed."""
        if self.LISTENERS:
            return True
        try:
            self.LISTENERS = listeners.opened(self.cfg, self.log, self.slots, heard=False)
        except StartError as error:
            self.log.error("%s", error)  # noqa: TRY400  # the text is enough
            self.pace.failed()
        return bool(self.LISTENERS)

    def _open_slots(self) -> None:
        """Open the slots beside sockets that somebody else has opened; it goes without them as well."""
        config = Config()
        config.set("bind", [*self.slots])
        config.set("umask", self.cfg.umask)
        try:
            self._own = listeners.opened(config, self.log, self.slots, heard=False) if self.slots else []
        except StartError as error:
            self.log.warning("%s; images are not sent to the same worker", error)
        self.LISTENERS = [*self.LISTENERS, *self._own]


class Application(WSGIApplication):  # type: ignore[misc]  # as above
    """gunicorn's application, run by this module's master."""

    def run(self) -> None:
        """Run until stopped. Ends the process with status 1 if it cannot start."""
        # gunicorn has read it as its configuration, and knows nothing of slots.
        from sidecar.server import gunicorn_conf  # noqa: PLC0415

        master = Master(self, gunicorn_conf.slots)
        try:
            master.run()
        except StartError as error:
            master.log.error("%s", error)  # noqa: TRY400  # the text is enough
            self.cfg.on_exit(master)
            sys.exit(1)


if __name__ == "__main__":
    Application("%(prog)s [OPTIONS]").run()
