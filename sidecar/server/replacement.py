"""A worker that cannot go on asks the master for another before it ends.

gunicorn's master starts a worker when another has ended. One with a stuck native call may take half a minute to end,
since it finishes what it can, and for as long as the kernel keeps it waiting for a disk. So it asks for one more worker
first, and leaves a note, by which the master counts down again when it is gone.

The master adds a worker on SIGTTIN. A worker in its sandbox may signal nobody, so it writes to a pipe, for which the
kernel signals the master on the master's own behalf (fcntl(2), F_SETOWN and F_SETSIG).
"""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_NOTE: Final = ".replaced"
_pipe: Final[list[int]] = []
"""The ends that receive and send, inherited by workers; empty if no master listens."""


def listen() -> None:
    """Have this process, the master, signalled when a worker asks."""
    receiving, sending = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(receiving, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(receiving, fcntl.F_SETSIG, signal.SIGTTIN)
    fcntl.fcntl(receiving, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    _pipe[:] = [receiving, sending]


def ask(folder: Path | None, most: int) -> bool:
    """Ask the master for a worker in this one's place; report whether it is all right to end.

    It is not if as many as `most` are being replaced already: a disk that hangs would have the master start workers
    without end, of which none can be freed.
    """
    if folder is None or not _pipe:
        return True
    if sum(1 for _ in folder.glob(f"*{_NOTE}")) >= most:
        return False
    # OSError: the disk is full. Then a new worker begins when this one has ended.
    with suppress(OSError):
        (folder / f"{os.getpid()}{_NOTE}").touch()
        os.write(_pipe[1], b"\0")
    return True


def settle(folder: Path, pid: int, server: Any) -> None:
    """Count down again when a worker that had asked has ended. Runs in the master; `server` is gunicorn's arbiter."""
    note = folder / f"{pid}{_NOTE}"
    if note.exists():
        note.unlink(missing_ok=True)
        with suppress(BlockingIOError):
            os.read(_pipe[0], 1)
        # A reload meanwhile has set the number anew.
        server.num_workers = max(server.cfg.workers, server.num_workers - 1)
