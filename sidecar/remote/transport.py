"""What speaks to an origin: the Protocol that a source implements, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.errors import SourceError
from sidecar.plugin import ByteRange


@dataclass(frozen=True, slots=True)
class Version:
    """What distinguishes an object from any other content it had or will have, as the origin writes it."""

    size: int
    """The length in bytes."""
    etag: str = ""
    """The entity tag with its quotes and `W/`; empty if there is none."""
    modified: str = ""
    """The HTTP date of the last change; empty if there is none."""

    @property
    def strong(self) -> bool:
        """Whether the entity tag promises equal bytes (RFC 9110 §8.8.1)."""
        return self.etag.startswith('"')

    @property
    def validator(self) -> str:
        """A text that differs whenever the content does, as far as the origin knows; empty if it does not."""
        return self.etag if self.strong else f"{self.etag}{self.modified}"


@dataclass(frozen=True, slots=True)
class Opening:
    """An object as it was found, with its first bytes if they came along."""

    version: Version
    head: bytes = field(default=b"", repr=False)


class Transport(Protocol):
    """Requests to one origin. Called in greenlets, many at once; each call is one attempt.

    Raises Transient if another attempt may succeed, SourceError if none will.
    """

    def open(self, key: str, head: int, known: Version | None) -> Opening | None:
        """Find an object and get its first `head` bytes, fewer if it is smaller; None if there is surely none.

        If the object is still `known`, that version may be returned without bytes.
        """
        ...

    def fetch(self, key: str, version: Version, wanted: ByteRange, step: int) -> Generator[bytes, None, None]:
        """Return the wanted bytes in pieces of `step`, the last one shorter. Raises SourceChanged if they changed."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Transient(Exception):
    """An attempt failed for a reason that may pass; `error` is raised if it does not."""

    def __init__(self, error: SourceError, after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        """Seconds after which the origin asks to be tried again (RFC 9110 §10.2.3)."""
