"""Deadlines: an error before the first byte, a break after it, and nothing left ticking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import pytest

from sidecar.errors import DeadlinePassed
from sidecar.http.middleware import StartResponse
from sidecar.http.time_limits import Timed, Times
from sidecar.limits import deadline

Answer = Callable[[dict[str, Any]], Iterable[bytes]]


def timed(answer: Answer, first_byte: float, total: float) -> Iterable[bytes]:
    """Begin an answer within so many seconds."""

    def app(environ: dict[str, Any], _: StartResponse) -> Iterable[bytes]:
        return answer(environ)

    return Timed(app, Times(first_byte, total))({}, lambda *_: None)


def test_too_late_a_first_byte_is_an_error() -> None:
    """What waits when the time until the first byte is over is interrupted there."""

    def slow(_: dict[str, Any]) -> Iterable[bytes]:
        gevent.sleep(30)
        return []

    with pytest.raises(DeadlinePassed, match=r"0\.01 seconds"):
        timed(slow, 0.01, 60)


def test_too_late_an_end_breaks_off() -> None:
    """Once begun, only the time in all counts: it is thrown into whoever waits, the one who sends included."""
    answer = iter(timed(lambda _: [b"first", b"second"], 0.01, 0.1))
    assert next(answer) == b"first"
    with pytest.raises(DeadlinePassed, match="too long"):
        gevent.sleep(30)


@pytest.mark.parametrize("fails", [True, False])
def test_nothing_ticks_after_the_end(*, fails: bool) -> None:
    """Neither a whole answer, closed, nor one that failed leaves a deadline that could hit the next request."""

    def answer(_: dict[str, Any]) -> Iterable[bytes]:
        if fails:
            raise ZeroDivisionError
        return [b"all"]

    if fails:
        with pytest.raises(ZeroDivisionError):
            timed(answer, 0.01, 0.01)
    else:
        chunks = timed(answer, 0.01, 0.01)
        assert list(chunks) == [b"all"]
        chunks.close()  # type: ignore[attr-defined]  # Timed always gives something to close
    gevent.sleep(0.03)


def test_a_handover_has_time_of_its_own() -> None:
    """When a handover begins, the time to the first byte stops, so that Cantaloupe has its own."""

    def hand_over(environ: dict[str, Any]) -> Iterable[bytes]:
        deadline.begin_response(environ)
        gevent.sleep(0.05)
        return [b"Cantaloupe's"]

    answer = timed(hand_over, 0.01, 30)
    assert list(answer) == [b"Cantaloupe's"]
    answer.close()  # type: ignore[attr-defined]  # Timed always gives something to close
    deadline.begin_response({})


def test_what_is_within_is_closed() -> None:
    """Closing reaches the answer within, however little of it was read."""

    class Chunks:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            self.closed = True

    within = Chunks()
    timed(lambda _: within, 30, 30).close()  # type: ignore[attr-defined]  # Timed always gives something to close
    assert within.closed
