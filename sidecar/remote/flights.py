"""Work under way that several requests wait for, done once (single flight).

The work runs in a greenlet of its own: a request that is cancelled while it waits takes nothing from the others, and
work that fails wakes all that wait with its error.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeAlias, TypeVar

from gevent.event import AsyncResult
from gevent.pool import Group

from sidecar.errors import SourceError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Land: TypeAlias = Callable[[K, V], None]
"""Hands over the value of a key; those who wait for it go on at once."""


class Flights(Generic[K, V]):
    """Values under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[K, AsyncResult[V]] = {}
        self._crew = Group()

    def find(self, key: K) -> AsyncResult[V] | None:
        """The value under way, to wait for."""
        return self._under_way.get(key)

    def launch(self, keys: Iterable[K], work: Callable[[Land[K, V]], None]) -> Mapping[K, AsyncResult[V]]:
        """Begin work that lands a value for each of the keys; those already under way are left as they are."""
        begun: dict[K, AsyncResult[V]] = {key: AsyncResult() for key in keys if key not in self._under_way}
        self._under_way.update(begun)
        self._crew.spawn(self._fly, begun, work)
        return begun

    def _fly(self, begun: Mapping[K, AsyncResult[V]], work: Callable[[Land[K, V]], None]) -> None:
        def land(key: K, value: V) -> None:
            if key in begun:
                del self._under_way[key]
                begun[key].set(value)

        error: Exception = SourceError("the source was closed")
        try:
            work(land)
        except Exception as failure:  # noqa: BLE001  # raised again where the values are awaited
            error = failure
        finally:
            self._crash(begun, error)

    def _crash(self, begun: Mapping[K, AsyncResult[V]], error: Exception) -> None:
        """Wake those who wait for what has not landed; a key that has may be under way again by now."""
        for key, result in [*begun.items()]:
            if not result.ready():
                del self._under_way[key]
                result.set_exception(error)

    def close(self) -> None:
        """Break off all that is under way, also what has not begun to run."""
        self._crew.kill()
        self._crash(self._under_way, SourceError("the source was closed"))
