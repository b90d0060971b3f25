"""How far a long command has come: a line with a bar on a terminal, and nothing in files and pipes."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

_EVERY: Final = 0.1
"""Seconds between two changes of the line."""
_BAR: Final = 24
"""Columns."""
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """A line that is drawn over and over. `total` may be set while the work goes on."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`stream`: the standard error if it is None."""
        self._stream = stream or sys.stderr
        self._clock = clock
        self._shown = self._stream.isatty()
        self._began = clock()
        self._drawn = float("-inf")
        self.total: int | None = None
        """How much there is to do; None while nobody knows."""

    def at(self, done: int, text: str) -> None:
        """Show how much is done, and what of it people should know."""
        now = self._clock()
        if self._shown and now - self._drawn >= _EVERY:
            self._drawn = now
            line = f"{self._bar(done)} {done / max(now - self._began, 1e-9):.0f}/s  {text}"
            self._stream.write(_CLEAR + line[: shutil.get_terminal_size().columns - 1])
            self._stream.flush()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._stream.write(f"{_CLEAR if self._shown else ''}{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Remove the line."""
        if self._shown:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _bar(self, done: int) -> str:
        if self.total is None:
            return f"{done:,} of ?"
        total = max(self.total, done, 1)
        filled = _BAR * done // total
        return f"[{'#' * filled}{'-' * (_BAR - filled)}] {done:,} of {total:,}"
