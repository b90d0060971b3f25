"""How long requests and their clients may take, as WSGI around the application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sidecar.config import Settings
from sidecar.errors import ClientTooSlow
from sidecar.http.client import BEHIND, FRONTS
from sidecar.http.middleware import ClosingIterator, StartResponse, Wsgi
from sidecar.limits import deadline
from sidecar.limits.deadline import Deadline
from sidecar.limits.least_speed import LeastSpeed
from sidecar.observability.event import Event, event_of

_BEHIND: Final = f"HTTP_{BEHIND.upper().replace('-', '_')}"


@dataclass(frozen=True, slots=True)
class Times:
    """How long requests and their clients may take. Times in seconds."""

    first_byte: float
    total: float
    speed: float = 0.0
    """The least bytes per second at which a client takes its response; 0: any."""
    window: float = 30.0
    """For how long it may be slower."""

    @classmethod
    def of(cls, settings: Settings) -> Times:
        """Take them from the settings."""
        slowest = settings.least_bytes_per_second, settings.least_speed_window
        return cls(settings.first_byte_timeout, settings.total_timeout, *slowest)


class Timed:
    """A WSGI application around another that gives each request its deadline, and its client a least speed.

    nginx reads all that its buffers hold at once, and then nothing until its client has taken that: a pause says little
    of the client. So behind nginx a response ends only if others wait.
    """

    def __init__(self, app: Wsgi, times: Times, others_wait: Callable[[], bool] = lambda: True) -> None:
        """`others_wait` returns whether anybody waits for what responses hold."""
        self._app = app
        self._times = times
        self._others_wait = others_wait

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the inner application does, which makes the first byte before it returns."""
        times = self._times
        time_left = environ[deadline.KEY] = Deadline(times.first_byte, times.total)
        try:
            chunks = self._app(environ, start_response)
            time_left.begin_response()
        except BaseException:
            time_left.close()
            raise
        buffered = environ.get(_BEHIND) in FRONTS
        speed = LeastSpeed(times.speed, times.window, lambda: buffered and not self._others_wait())
        return _Taken(chunks, time_left.close, speed, event_of(environ))


class _Taken(ClosingIterator):
    """The chunks of a response. A client has to take each in time."""

    def __init__(self, chunks: Iterable[bytes], closed: Callable[[], None], speed: LeastSpeed, event: Event) -> None:
        super().__init__(chunks, closed)
        self._speed, self._event = speed, event

    def __next__(self) -> bytes:
        self._speed.end()
        chunk = next(self._rest)
        self._speed.begin(len(chunk))
        return chunk

    def close(self) -> None:
        self._speed.end()
        if self._speed.passed:
            self._event.left = ClientTooSlow.reason
        super().close()
