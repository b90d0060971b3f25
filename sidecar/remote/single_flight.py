"""Work that several requests wait for, done once (single flight).

The work runs in a greenlet of its own: a request that is cancelled while it waits takes nothing from the others. If the
work fails, all that wait get its error.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextvars import copy_context
from typing import Generic, TypeAlias, TypeVar

from gevent.event import AsyncResult
from gevent.pool import Group

from sidecar.errors import SourceError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Publish: TypeAlias = Callable[[K, V], None]
"""Publishes the value of a key; those that wait for it go on at once."""


class SingleFlight(Generic[K, V]):
    """Values under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[K, AsyncResult[V]] = {}
        self._greenlets = Group()

    def find(self, key: K) -> AsyncResult[V] | None:
        """Return the value under way, to wait for."""
        return self._under_way.get(key)

    def start(self, keys: Iterable[K], work: Callable[[Publish[K, V]], None]) -> Mapping[K, AsyncResult[V]]:
        """Begin work that publishes a value for each of the keys; those already under way are left as they are."""
        begun: dict[K, AsyncResult[V]] = {key: AsyncResult() for key in keys if key not in self._under_way}
        self._under_way.update(begun)
        # Of the first that waits: its request's trace shows the work.
        self._greenlets.spawn(copy_context().run, self._run, begun, work)
        return begun

    def _run(self, begun: Mapping[K, AsyncResult[V]], work: Callable[[Publish[K, V]], None]) -> None:
        def publish(key: K, value: V) -> None:
            if key in begun:
                del self._under_way[key]
                begun[key].set(value)

        error: Exception = SourceError("the source was closed")
        try:
            work(publish)
        except Exception as failure:  # noqa: BLE001  # raised again where the values are awaited
            error = failure
        finally:
            self._fail(begun, error)

    def _fail(self, begun: Mapping[K, AsyncResult[V]], error: Exception) -> None:
        """Wake those that wait for unpublished values; a published key may be under way again by now."""
        for key, result in [*begun.items()]:
            if not result.ready():
                del self._under_way[key]
                result.set_exception(error)

    def close(self) -> None:
        """Cancel everything under way, also work that has not begun to run."""
        self._greenlets.kill()
        self._fail(self._under_way, SourceError("the source was closed"))
