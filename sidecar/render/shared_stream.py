"""A large response that is sent to several clients while it is made, to each at its own speed.

Pulled, as a response to one client is: whoever needs the next chunk first has it made; the others find it when they
come. So nobody waits for a slower client, and what is made ahead is what the fastest has taken. All chunks are held as
long as anybody may need them: until the last client is over, or, if nobody may join, until its only client has them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Final

import gevent
from gevent.event import Event

from sidecar.limits.outcome import Outcome, repeater
from sidecar.render.body import Body
from sidecar.render.joint_response import Users

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the client still waits."""
_ENDING: Final = 2.0
"""Seconds that the last client waits until everything is released; see `sidecar.limits.release`."""


class SharedStream:
    """The chunks of a response that is being made. Belongs to one event loop."""

    def __init__(self, body: Body, *, kept: bool, ended: Callable[[], None]) -> None:
        """`kept`: chunks stay after they are taken. `ended` is called when nobody uses it any more."""
        self.details = body.details
        self._kept, self._ended = kept, ended
        self._chunks: list[bytes] = []
        self._wanted = 0
        """How many chunks anybody has asked for."""
        self._asked, self._moved = Event(), Event()
        """Set when somebody asks for more; set, and replaced, whenever there is news."""
        self._over = False
        self._failed: Outcome[bytes] | None = None
        self._users = Users(self._close)
        self._maker = gevent.spawn(copy_context().run, self._make, body)
        self._release = body.close

    def use(self) -> Callable[[], None]:
        """See Shared; the last who ends its use waits until everything is released."""
        return self._users.use()

    def chunk(self, number: int, check_alive: Callable[[], None]) -> bytes | None:
        """Wait for a chunk; None is the end. Raises what making it raises, and what `check_alive` raises."""
        check_alive()
        if number >= self._wanted:
            self._wanted = number + 1
            self._asked.set()
        while number >= len(self._chunks):
            if self._failed:
                self._failed()
            if self._over:
                return None
            if not self._moved.wait(_LOOK_EVERY):
                check_alive()
        chunk = self._chunks[number]
        if not self._kept:
            self._chunks[number] = b""
        return chunk

    def _make(self, body: Body) -> None:
        """Make chunks as they are asked for, until the last one or until nobody uses them any more."""
        try:
            while True:
                self._asked.wait()
                self._asked.clear()
                while len(self._chunks) < self._wanted:
                    self._chunks.append(next(body))
                    self._tell()
        except StopIteration:
            pass
        except gevent.GreenletExit:
            return
        except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
            self._failed = repeater(error)
        finally:
            self._over = True
            body.close()
            self._tell()

    def _tell(self) -> None:
        moved, self._moved = self._moved, Event()
        moved.set()

    def _close(self) -> None:
        # It may lead back here.
        ended, self._ended = self._ended, _nothing
        ended()
        if self._maker is not gevent.getcurrent():
            self._maker.kill(timeout=_ENDING)
            # One that is stopped before it has begun never closes it.
            self._release()


class Reader:
    """The chunks of a shared response, as one client gets them; `close` ends its use of the response."""

    def __init__(
        self, stream: SharedStream, over: Callable[[], None], check_alive: Callable[[], None], *, joined: bool
    ) -> None:
        self.details = stream.details | {"shared": joined}
        """Of how it was made, for the log."""
        self._next = partial(stream.chunk, check_alive=check_alive)
        self._over = over
        self._number = 0

    def __iter__(self) -> Reader:
        """Return the chunks, once."""
        return self

    def __next__(self) -> bytes:
        """Return the next chunk. An error here can only break the connection."""
        chunk = self._next(self._number)
        if chunk is None:
            raise StopIteration
        self._number += 1
        return chunk

    def close(self) -> None:
        """Use the response no more; may be called twice."""
        self._over()


def _nothing() -> None:
    pass
