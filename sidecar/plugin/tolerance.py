"""What hides small errors of decoded pixels: the lossy file that they become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Subsampling: TypeAlias = Literal["4:4:4", "4:2:2", "4:2:0", "gray"]
"""Of the colours of a JPEG; `gray`: it has none."""
HIGHEST: Final = 94
"""The quality up to which a JPEG hides anything. Whoever asks for more wants what is there."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A lossy file, described as a JPEG that hides as much. A value: windows for equal ones are equal."""

    quality: int
    """JPEG quality from 1 to 100, as libjpeg counts it."""
    subsampling: Subsampling

    @property
    def exact(self) -> bool:
        """Whether every bit of the pixels may show."""
        return self.quality > HIGHEST


EXACT: Final = Tolerance(100, "4:4:4")
"""Nothing is hidden: every bit shows."""
