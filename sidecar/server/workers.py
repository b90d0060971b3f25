"""What the master knows of its workers: which of them serve, which were told to stop, which never got to serve."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 16.0


@dataclass(slots=True)
class WorkerState:
    """The state of one worker; made before the fork, so that both sides have it."""

    _page: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 1))
    dismissed: bool = False
    """Whether the master has told it to stop."""

    @property
    def serves(self) -> bool:
        """Whether it has got as far as serving requests."""
        return self._page[0] == 1

    def now_serves(self) -> None:
        """Set that; called in the worker."""
        self._page[0] = 1


def state(worker: Any) -> WorkerState:
    """Return the state of one of gunicorn's workers; a new one for a worker that has none yet."""
    if not hasattr(worker, "sidecar_state"):
        worker.sidecar_state = WorkerState()
    found: WorkerState = worker.sidecar_state
    return found


def staying(workers: Iterable[Any]) -> list[Any]:
    """Return those that were not told to stop, the oldest first."""
    return sorted((worker for worker in workers if not state(worker).dismissed), key=lambda worker: int(worker.age))


class Pace:
    """When to start a worker after one could not start: each time later, up to a quarter of a minute.

    A start takes a second of a processor, and what hinders it is mostly there for a while.
    """

    def __init__(self) -> None:
        self._pause = 0.0
        self._due = 0.0
        self.failures = 0
        """Starts that have failed, in all."""

    @property
    def failing(self) -> bool:
        """Whether the last start failed."""
        return self._pause > 0

    @property
    def due(self) -> bool:
        """Whether to start one now."""
        return time.monotonic() >= self._due

    def failed(self) -> None:
        """Note a start that failed."""
        self.failures += 1
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._due = time.monotonic() + self._pause

    def succeeded(self) -> None:
        """Note that a worker serves."""
        self._pause = self._due = 0.0

    def hurry(self) -> None:
        """Let the next start be now."""
        self._due = 0.0
