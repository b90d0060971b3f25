"""The chunks of a response, and what they own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sidecar.limits.admission import Place
from sidecar.limits.release import UninterruptibleStack


class Body:
    """The chunks of a response. It owns permit and reader from the start, read or not; `close` releases them.

    Its place among those that compute is lent while the client takes a chunk; `resume` may wait for it.

    An object and not a generator: closing a generator that was never started runs none of its `finally`.
    """

    def __init__(
        self,
        first: bytes,
        rest: Iterator[bytes],
        owned: UninterruptibleStack,
        place: Place,
        check_alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self._owned = owned
        self._place = place
        self._check_alive = check_alive
        self.details: dict[str, str | int] = {}
        """Of how it was made, for the log."""

    def __iter__(self) -> Iterator[bytes]:
        """Return the chunks, once."""
        return self

    def __next__(self) -> bytes:
        """Return the next chunk. An error here can only break the connection."""
        first, self._first = self._first, None
        if first is None:
            self._check_alive()
            first = self._make()
        self._place.lend()
        return first

    def _make(self) -> bytes:
        try:
            self._place.resume()
            return next(self._rest)
        except StopIteration:
            raise
        except BaseException as error:
            # The reader cache learns of the failure, and does not keep the reader.
            self._owned.__exit__(type(error), error, error.__traceback__)
            raise

    def keep(self, size: int) -> Callable[[], None]:
        """Keep bytes of the permit after `close`, for what was made; returns what gives them back."""
        return self._place.keep(size)

    def close(self) -> None:
        """Give the place back, wait for the decode in flight, release reader and permit; see UninterruptibleStack."""
        self._owned.close()
