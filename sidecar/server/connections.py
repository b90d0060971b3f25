"""A worker's open connections, and which of them gives way to a new one.

A connection costs little, but their number is bounded. Clients that open connections and send nothing, half a head, or
a body that never ends must not keep others out: if there is room for no more, the connection that has waited for its
client longest is closed, as nginx does with idle ones (`ngx_drain_connections`). Whoever sends a request at once is
never the one.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sidecar.observability.metrics import EVICTED


class Connection:
    """A connection as gunicorn reads requests from it: knows whether the worker waits for its client."""

    def __init__(self, connection: socket.socket, slot: int | None = None) -> None:
        """`slot`: at which it was accepted; None for a socket that all workers accept from."""
        self._connection, self.slot = connection, slot
        self.waiting = False
        """Whether bytes of a request are waited for: of its head or of its body."""
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        """Take everything else from the connection."""
        return getattr(self._connection, name)

    def recv(self, *size: int) -> bytes:
        """Receive bytes of a request."""
        self.waiting = True
        try:
            return self._connection.recv(*size)
        except OSError:
            if self._ended:  # gevent raises in whoever waits, whatever way it was closed
                return b""
            raise
        finally:
            self.waiting = False

    def end(self) -> None:
        """End it as if the client had: whoever waits for its bytes finds that there are no more."""
        self._ended = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


class Connections:
    """The connections of a worker. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: OrderedDict[Connection, None] = OrderedDict()
        """By the time at which each began to wait for a request, the longest ago first."""

    def make_room(self) -> bool:
        """Report whether there is room for one more; if there was none, the one that has waited longest is ended."""
        return len(self._open) < self._most or self._evict()

    @contextmanager
    def joined(self, connection: socket.socket, slot: int | None = None) -> Iterator[Connection]:
        """Count a connection while it is open; `slot`: at which it was accepted."""
        made = Connection(connection, slot)
        self._open[made] = None
        try:
            yield made
        finally:
            self._open.pop(made, None)

    def answered(self, connection: Connection) -> None:
        """Note that a connection has had its answer, and begins to wait anew."""
        if connection in self._open:
            self._open.move_to_end(connection)

    def _evict(self) -> bool:
        found = next((each for each in self._open if each.waiting), None)
        if found is None:
            return False
        # Gone from here at once, so that the next new one finds another.
        del self._open[found]
        found.end()
        EVICTED.inc()
        return True
