"""What a decoder may implement that learns something of each file and keeps it for other processes and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sidecar.plugin.source import Blob


@dataclass(frozen=True, slots=True)
class StoreState:
    """How a place answered at which a decoder keeps what it learns."""

    place: str
    """A path, or a URL without user and password."""
    milliseconds: float
    """The time that asking took."""
    problem: str = ""
    """Why it cannot be read; empty if it can."""
    writable: bool = True


@runtime_checkable
class Indexes(Protocol):
    """An optional power of a decoder: `sidecar index` lets it learn of files before anybody asks for them."""

    def examine_stores(self) -> Sequence[StoreState]:
        """Ask all places at which it keeps what it learns; none if nothing is set to keep it. Called in a greenlet."""
        ...

    def is_indexed(self, blob: Blob) -> bool:
        """Report whether all is kept of a file, at every place. The file is not read. Called in a greenlet."""
        ...

    def index(self, blob: Blob) -> None:
        """Open a file, learn all of it, and keep that. Called in a greenlet, for several files at once.

        Raises what `open` raises, and SourceError if it cannot be kept.
        """
        ...
