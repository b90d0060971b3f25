"""What a step is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sidecar.plugin import Pixels


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows `start` to `stop` (exclusive) of a picture."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a strip."""

    rows: int
    columns: int
    channels: int

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.rows * self.columns

    @property
    def nbytes(self) -> int:
        """Bytes at 8 bit a sample."""
        return self.pixels * self.channels


class Step(ABC):
    """From strip to strip. Most steps work on each pixel alone; one that needs other rows overrides `rows`."""

    __slots__ = ()

    def rows(self, wanted: Rows) -> Rows:
        """Return the rows of its input that some rows of its output are made from."""
        return wanted

    def shape(self, before: Shape, wanted: Rows) -> Shape:
        """Return the shape of the output for an input of shape `before`."""
        del wanted
        return before

    @abstractmethod
    def peak_bytes(self, before: Shape, after: Shape) -> int:
        """Return the bytes that it takes at most beside its input, output included."""

    @abstractmethod
    def apply(self, strip: Pixels, have: Rows, wanted: Rows) -> Pixels:
        """Make rows `wanted` of its output from a strip that holds rows `have` of its input. In a native thread."""
