"""gunicorn's gevent worker, with seven changes.

The head of a response and its first bytes leave together. gunicorn sends the head by itself. If the worker were killed
just then, nginx would have a head without a body, and could not ask Cantaloupe any more. Sent as one, the kernel has
all of a small response or nothing of it.

A worker that finds a setting or a library wrong, which `sidecar serve` has found right, is started again. To gunicorn
it would be a reason to end everything: after a slip in the settings file, the next reload or crash would stop the
workers that serve, and nothing would come back when the slip is fixed.

Bytes above 0x7F in a URL, which browsers encode and scripts do not, belong percent-encoded (RFC 3986 §2.1). gunicorn
refuses them, Cantaloupe takes them: such a request must get as far as the handover.

What gunicorn refuses all the same is answered in plain text, as any other refusal, and repeats nothing of the request.

A worker accepts from the common socket, from those of its slots, and from those of others that need help; see
`accepting`. It closes connections that another worker should have: nginx keeps those it has, and uses them again and
again.

If there is room for no more connections, one that waits for its client gives way to a new one. If none waits, the new
one is refused with 503 at once. gunicorn leaves it in the socket's queue, where it waits for as long as nginx does.

A worker ends once. Ctrl-C reaches it directly, and the master's signal follows; gunicorn's second exit would come while
Python shuts down, and leave a traceback.
"""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import FrameType, MappingProxyType
from typing import Any, Final, NamedTuple

import gevent
from gunicorn import util  # type: ignore[import-untyped]  # it has no annotations
from gunicorn.http.message import Request  # type: ignore[import-untyped]  # as above
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]  # as above
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]  # as above

from sidecar.errors import StartError
from sidecar.server.accepting import Accepting
from sidecar.server.connections import Connection, Connections
from sidecar.server.descriptors import REFUSALS
from sidecar.server.refusal import refuse
from sidecar.server.slot_owners import OWNERS

_ENDING: Final = 0.1
"""Seconds that gunicorn leaves to what is under way."""
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether to go on, and two signs of life for the master."""
_ABOVE_ASCII: Final = re.compile(rb"[\x80-\xff]")


class Worker(GeventWorker):  # type: ignore[misc]  # as above
    """The worker class of sidecar.server.gunicorn_conf."""

    slots: Sequence[int | None] = ()
    """The slot of each of `sockets`, None for those that all workers accept from; set by the master."""
    _heard: Mapping[Any, Heard] = MappingProxyType({})
    """What is known of each of `sockets`."""
    _end: gevent.Greenlet[..., None] | None = None

    def init_process(self) -> None:
        """Put the parser and the refusals of this module in gunicorn's place; then what gunicorn does, which serves."""
        RequestParser.mesg_class = AnyBytes
        util.write_error = write_error
        self.connections = Connections(self.worker_connections)
        self.accepting = Accepting(OWNERS, lambda: self.wsgi)
        try:
            super().init_process()
        except (StartError, OSError) as error:  # the latter of a disk that is full
            self._cannot_start(error, exc_info=False)
        except Exception as error:  # noqa: BLE001  # whatever a plugin does
            self._cannot_start(error, exc_info=True)

    def _cannot_start(self, error: Exception, *, exc_info: bool) -> None:
        """Log why, and end; the master tries again after a while. gunicorn's own status would end the master too."""
        if self.booted:
            raise error
        self.log.error("This worker cannot start: %s", error, exc_info=exc_info)
        sys.exit(1)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """End soon, whatever is under way; called for SIGINT and SIGQUIT."""
        del sig, frame
        self.alive = False
        self._end = self._end or gevent.spawn_later(_ENDING, sys.exit, 0)

    def ended(self) -> None:
        """Take no more signals, and end no second time."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        if self._end:
            self._end.kill(block=False)

    def run(self) -> None:
        """Serve until told to stop, then finish what is under way; in gunicorn's place, which accepts everywhere."""
        slots = dict(zip(self.sockets, self.slots, strict=True))
        self._heard = {listener: Heard(listener.getsockname(), slot) for listener, slot in slots.items()}
        # A few connections more, those that are ended or refused.
        most = self.worker_connections + REFUSALS
        self.accepting.begin(slots, self.handle, most, alone=self.cfg.workers == 1)
        while self.alive:
            self.notify()
            gevent.sleep(_LOOK_EVERY)
        self.accepting.close()
        ends = time.monotonic() + self.cfg.graceful_timeout
        while len(self.accepting.connections):
            if time.monotonic() > ends:
                self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
                self.accepting.connections.kill(timeout=_LOOK_EVERY)
                return
            self.notify()
            gevent.sleep(_LOOK_EVERY)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve a connection, or refuse it at once: nobody should wait for what may not come."""
        if not self.connections.make_room():
            refuse(client)
            return
        heard = self._heard.get(listener, Heard())
        with self.connections.joined(client, heard.slot) as connection:
            super().handle(heard, connection, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Connection, addr: Any) -> Any:
        """Answer one request. Raises what gunicorn's own does: StopIteration if the connection is to be closed."""
        joined = Joined(sock)
        if self.accepting.should_close(sock.slot):
            req.force_close()
        try:
            return super().handle_request(listener_name, req, joined, addr)
        finally:
            self.connections.answered(sock)
            joined.flush()


class Heard(NamedTuple):
    """A socket at which a connection was accepted, for gunicorn, which asks for its name: it may be closed by now."""

    name: Any = None
    slot: int | None = None
    """None if all workers accept from it."""

    def getsockname(self) -> Any:
        """Return the address that it had."""
        return self.name


class AnyBytes(Request):  # type: ignore[misc]  # as above
    """A request whose target may have bytes above 0x7F: they stay in `uri`, as they came, one character each."""

    def parse_request_line(self, line_bytes: bytes) -> None:
        """Parse the line as if those bytes were percent-encoded. Raises what gunicorn's own does."""
        parts = line_bytes.split(b" ", 2)
        raw = parts[1] if len(parts) > 1 else b""
        parts[1:2] = [_ABOVE_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), raw)]
        super().parse_request_line(b" ".join(parts))
        self.uri = raw.decode("latin-1")


def write_error(connection: socket.socket, status: int, _reason: str, _message: str) -> None:
    """Refuse what is no request (RFC 9112 §3, §5, §6), in gunicorn's stead; the log has the message."""
    reason = HTTPStatus(status).phrase
    failed = status == HTTPStatus.INTERNAL_SERVER_ERROR
    problem = "the sidecar failed; its log has the details" if failed else "this is not a request that HTTP/1.1 allows"
    text = f"{status} {reason}\n\n{problem}\n"
    head = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: text/plain;charset=utf-8",
        "Cache-Control: no-cache, must-revalidate",
        f"Content-Length: {len(text)}",
    )
    util.write_nonblock(connection, "\r\n".join((*head, "", text)).encode("ascii"))


class Joined:
    """A connection for one response, which keeps what is sent first until there is more, or no more to come."""

    def __init__(self, connection: socket.socket | Connection) -> None:
        self._connection = connection
        self._head: bytes | None = b""
        """What is kept; empty before anything came, None once all goes straight through."""

    def __getattr__(self, name: str) -> Any:
        """Take everything else from the connection."""
        return getattr(self._connection, name)

    def sendall(self, data: bytes) -> None:
        """Send the data, or keep it if it is the first."""
        if self._head == b"":
            self._head = data
        elif self._head is None:
            self._connection.sendall(data)
        else:
            head, self._head = self._head, None
            self._connection.sendall(head + data)

    def flush(self) -> None:
        """Send what is kept: there is no more to come."""
        head, self._head = self._head, None
        if head:
            self._connection.sendall(head)

    def shutdown(self, how: int) -> None:
        """Drop what is kept: the response has failed."""
        self._head = None
        self._connection.shutdown(how)
