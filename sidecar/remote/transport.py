"""What speaks to a far place: the Protocol that a plugin implements, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.errors import SourceError
from sidecar.model import ByteRange


@dataclass(frozen=True, slots=True)
class Version:
    """What tells an object from any other content it had or will have, as the far place writes it."""

    size: int
    """In bytes."""
    etag: str = ""
    """The entity tag with its quotes and `W/`; empty where there is none."""
    modified: str = ""
    """The HTTP date of the last change; empty where there is none."""

    @property
    def strong(self) -> bool:
        """Whether the entity tag promises equal bytes (RFC 9110 §8.8.1)."""
        return self.etag.startswith('"')

    @property
    def validator(self) -> str:
        """Differs whenever the content does, as far as the place can tell; empty where it cannot."""
        return self.etag if self.strong else f"{self.etag}{self.modified}"


@dataclass(frozen=True, slots=True)
class Opening:
    """An object as it was found, with its first bytes where they came along."""

    version: Version
    head: bytes = field(default=b"", repr=False)


class Transport(Protocol):
    """Requests to one far place. Called in greenlets, many at once; each call is one attempt.

    Raises Transient where another attempt may do better, SourceError where none will.
    """

    def open(self, key: str, head: int, known: Version | None) -> Opening | None:
        """Find an object and get its first `head` bytes, fewer where it is smaller; None: surely not there.

        Where the object is still `known`, that version may come back without bytes.
        """
        ...

    def fetch(self, key: str, version: Version, wanted: ByteRange, step: int) -> Generator[bytes, None, None]:
        """The wanted bytes in pieces of `step`, the last one shorter. Raises SourceChanged for another version."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Transient(Exception):
    """An attempt failed in a way that may pass; `error` is what it means if it does not."""

    def __init__(self, error: SourceError, after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        """Seconds the far place asks to be left alone (RFC 9110 §10.2.3)."""
