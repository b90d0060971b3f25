"""gunicorn's gevent worker, but for three things.

The head of an answer and its first bytes leave together. gunicorn sends the head by itself. Were the worker killed just
then, nginx would have a head without a body, and could not ask Cantaloupe any more. Sent as one, the kernel has all of
a small answer or nothing of it.

A worker that finds a setting or a library wrong, which `sidecar serve` has found right, is tried again. To gunicorn it
would be a reason to end everything: a slip in the file of settings, and the next reload or the next crash would stop
those that serve well, and nothing would come back when the slip is mended.

A worker that has more large work than another closes its connections. nginx keeps those it has, and asks on them again
and again; on new ones any worker may take the request.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Any, Final

from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]  # it has no annotations

from sidecar.errors import StartError

_PAUSE: Final = 2.0
"""Seconds until another try, which takes a second of a processor."""


class Worker(GeventWorker):  # type: ignore[misc]  # as above
    """The worker class of sidecar.gunicorn_conf."""

    def load_wsgi(self) -> None:
        """Load the application; where that cannot be, say why and end after a while, for the master to try again."""
        try:
            super().load_wsgi()
        except (StartError, OSError) as error:  # the latter of a disk that is full
            self.log.error("This worker cannot start: %s", error)  # noqa: TRY400  # the text says it all
            time.sleep(_PAUSE)
            sys.exit(1)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        """Answer one request. Raises what gunicorn's own does: StopIteration where the connection is to be closed."""
        answer = Joined(sock)
        if self.wsgi.crowded:
            req.force_close()
        try:
            return super().handle_request(listener_name, req, answer, addr)
        finally:
            answer.flush()


class Joined:
    """A connection for one answer, which keeps what is sent first until there is more, or no more to come."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._head: bytes | None = b""
        """What is kept; empty before anything came, None once all goes straight through."""

    def __getattr__(self, name: str) -> Any:
        """All else is the connection's."""
        return getattr(self._connection, name)

    def sendall(self, data: bytes) -> None:
        """Send all of it, or keep it where it is the first."""
        if self._head == b"":
            self._head = data
        elif self._head is None:
            self._connection.sendall(data)
        else:
            head, self._head = self._head, None
            self._connection.sendall(head + data)

    def flush(self) -> None:
        """There is no more: an answer without a body leaves."""
        head, self._head = self._head, None
        if head:
            self._connection.sendall(head)

    def shutdown(self, how: int) -> None:
        """The answer has failed: what was kept is not sent any more."""
        self._head = None
        self._connection.shutdown(how)
