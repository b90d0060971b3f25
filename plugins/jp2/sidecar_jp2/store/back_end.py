"""What keeps entries for other machines: the Protocol of back ends, and what they raise."""

from __future__ import annotations

from typing import Protocol


class StoreError(Exception):
    """The store does not answer, or not as it should."""


class ReadOnly(StoreError):
    """The store does not let us write."""


class BackEnd(Protocol):
    """A store of bytes by key. Called in greenlets, several at once; each call is one attempt.

    Keys are letters, digits, `.` and `/`. Whoever calls limits the time of a call.
    """

    @property
    def name(self) -> str:
        """For metrics and messages: `redis`, `s3`."""
        ...

    @property
    def place(self) -> str:
        """Where it is, for people, without user and password."""
        ...

    def get(self, key: str, most: int) -> bytes | None:
        """Return the first `most` bytes of an entry, fewer if it has fewer; None if there is none.

        Raises StoreError.
        """
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store or replace an entry. Raises StoreError, ReadOnly."""
        ...

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        ...
