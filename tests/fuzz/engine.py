"""One target under atheris, which is guided by the lines that inputs reach: `python -m tests.fuzz.engine NAME …`.

A process of its own, since libFuzzer takes it over. An exception that is no refusal is kept with the input, once for
each place that raises it, and the search goes on; what hangs or takes too much memory ends it, and libFuzzer keeps
that input.
"""

from __future__ import annotations

import hashlib
import random
import sys
import traceback
from pathlib import Path
from typing import Final

import atheris

from tests.fuzz.target import CASE, PACKAGES

Place = tuple[str, str, int]


class Finder:
    """Runs inputs of one target, and keeps those that surprise."""

    def __init__(self, name: str, folder: Path) -> None:
        """`folder`: where cases are kept."""
        with atheris.instrument_imports(include=[*PACKAGES], enable_loader_override=False):
            from tests.fuzz.mutation import changed  # noqa: PLC0415  # imported so that their lines are counted
            from tests.fuzz.targets import TARGETS  # noqa: PLC0415
        self._target, self._changed = TARGETS[name], changed
        self._known = self._target.corpus() or [*self._target.seeds()]
        self._folder = folder
        self._seen: set[Place] = set()

    def run(self, content: bytes) -> None:
        """Run one input."""
        try:
            self._target.endures(content)
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            self._keep(content, error)

    def mutate(self, content: bytes, longest: int, seed: int) -> bytes:
        """Return a changed input, along its structure or as libFuzzer does."""
        draw = random.Random(seed)  # noqa: S311  # a search that can be repeated
        if draw.random() < 0.5:
            return bytes(atheris.Mutate(content, longest))
        return self._changed(draw, self._target, [content or b"\0", draw.choice(self._known)])[:longest]

    def _keep(self, content: bytes, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = type(error).__name__, last.filename, last.lineno or 0
        if place in self._seen:
            return
        self._seen.add(place)
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.blake2b(content, digest_size=6).hexdigest()
        (self._folder / f"{CASE}{name}").write_bytes(content)
        traceback.print_exception(error)


NAME: Final = 1
FOLDER: Final = 2
FLAGS: Final = 3

if __name__ == "__main__":
    finder = Finder(sys.argv[NAME], Path(sys.argv[FOLDER]))
    atheris.Setup([sys.argv[0], *sys.argv[FLAGS:]], finder.run, custom_mutator=finder.mutate)
    atheris.Fuzz()
