"""What is fuzzed: a parser of bytes that strangers choose, what it may raise, and what must hold of its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidecar.errors import SidecarError

DATA: Final = Path(__file__).parents[1] / "data" / "fuzz"
SEED: Final = "seed-"
CASE: Final = "case-"
"""Begins the name of an input that once surprised: it raised what it must not, hung, or took too much."""
PACKAGES: Final = ("sidecar", "sidecar_jp2", "sidecar_htj2k", "sidecar_openslide", "sidecar_tiff")
"""Whose lines count as reached."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser under attack. Its inputs lie in tests/data/fuzz, in a folder of its name."""

    name: str
    exercise: Callable[[bytes], object]
    """Raises SidecarError if the input is refused in order, AssertionError if a result is wrong."""
    seeds: Callable[[], Sequence[bytes]] = field(repr=False)
    """Makes sound inputs, for a corpus that is begun anew."""
    words: Sequence[bytes] = field(default=(), repr=False)
    """What inputs are made of, if that is text."""
    structured: bool = False
    """Whether inputs are JPEG 2000 files, changed along boxes and marker segments."""

    @property
    def folder(self) -> Path:
        """Where its inputs lie."""
        return DATA / self.name

    def corpus(self) -> list[bytes]:
        """Return the inputs that are kept, in the order of their names."""
        return [path.read_bytes() for path in sorted(self.folder.glob("*"))]

    def endures(self, content: bytes) -> bool:
        """Report whether an input is accepted. Raises whatever is not a refusal in order."""
        try:
            self.exercise(content)
        except SidecarError:
            return False
        return True
