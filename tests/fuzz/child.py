"""Runs inputs in a child process of limited memory and time, and reports what became of each, a crash included."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from sidecar.errors import SidecarError

SECONDS: Final = 20.0
"""Fifty times what the slowest of the small inputs takes."""
MEMORY: Final = 2 << 30
"""Address space beyond what the child has when it starts."""
PATIENCE: Final = 10.0

Verdict = Literal["decoded", "refused", "surprise", "crash", "hang"]
GOOD: Final[tuple[Verdict, ...]] = ("decoded", "refused")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an input."""

    verdict: Verdict
    text: str = ""
    """The exception, the last lines of its traceback, or the signal."""


class Child:
    """A child that runs one input after the other, and a new one after it has ended."""

    def __init__(self, run: Callable[[bytes], object], seconds: float = SECONDS, memory: int = MEMORY) -> None:
        """`run` raises SidecarError to refuse; `memory`: bytes."""
        self._run, self._seconds, self._memory = run, seconds, memory
        self._context = multiprocessing.get_context("fork")
        self._process: BaseProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def outcome(self, content: bytes) -> Outcome:
        """Run an input."""
        if self._process is None:
            self._start()
        try:
            self._pipe.send_bytes(content)
            if not self._pipe.poll(self._seconds):
                self._end()
                return Outcome("hang", f"nothing after {self._seconds:.0f} seconds")
            found: Outcome = self._pipe.recv()
        except (EOFError, OSError):
            return Outcome("crash", self._died())
        return found

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs, self._pipe, self._run, self._memory))
        self._process.start()
        theirs.close()

    def _died(self) -> str:
        process, self._process = self._process, None
        self._pipe.close()
        if process is None:
            return "it had ended before"
        process.join(PATIENCE)
        status = process.exitcode or 0
        return signal.Signals(-status).name if status < 0 else f"status {status}"

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._died()


def _serve(pipe: Connection, parents: Connection, run: Callable[[bytes], object], memory: int) -> None:
    parents.close()
    faulthandler.disable()
    silence = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):
        os.dup2(silence, standard)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _address_space() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        try:
            content = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send(_outcome(run, content))


def _outcome(run: Callable[[bytes], object], content: bytes) -> Outcome:
    try:
        run(content)
    except SidecarError as error:
        return Outcome("refused", f"{error.reason}: {error}")
    except MemoryError:
        return Outcome("surprise", "MemoryError")
    except Exception:  # noqa: BLE001  # that is what is looked for
        return Outcome("surprise", "".join(traceback.format_exc(limit=-4)))
    return Outcome("decoded")


def _address_space() -> int:
    """Return the bytes of address space that this process has (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
