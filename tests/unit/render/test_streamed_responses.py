"""Identical large responses are made once, to each client at its own speed; what is held for that is bounded."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

import gevent
import pytest
from gevent.event import Event

from sidecar.errors import ClientGone, DecodeError, TooLarge
from sidecar.limits.admission import Admission
from sidecar.limits.outcome import Outcome, outcome
from sidecar.limits.release import UninterruptibleStack
from sidecar.plugin import Frame, Size
from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.shared_stream import Reader
from sidecar.render.streamed_responses import StreamedResponses, encoded_bytes

SIZE = 1000
FRAME = Frame(size=Size(100, 100), channels=3)
BOUND = encoded_bytes(FRAME)
CHUNKS = [b"one", b"two", b"three"]


@dataclass
class Maker:
    """Makes responses of three chunks, one of which takes all memory; each waits for `go` before its first chunk."""

    admission: Admission = field(default_factory=lambda: Admission(4 * SIZE, 10, 5, large=1))
    go: Event = field(default_factory=Event)
    error: Exception | None = None
    fails_at: int = -1
    began: list[str] = field(default_factory=list)
    made: list[bytes] = field(default_factory=list)
    ended: int = 0

    def start(self, client: Client) -> Body:
        """Begin one; `ended` counts how many are over."""
        owned = UninterruptibleStack()
        try:
            permit = self.admission.take(2 * SIZE, large=True, client=client.name, check_alive=client.check_alive)
            place = owned.enter_context(permit)
            client.granted()
            self.began.append(client.name)
            owned.callback(self._end)
            self.go.wait()
            chunks = self._chunks()
            return Body(next(chunks), chunks, owned, place, client.check_alive)
        except BaseException as error:
            owned.__exit__(type(error), error, error.__traceback__)
            raise

    def _chunks(self) -> Iterator[bytes]:
        for number, chunk in enumerate(CHUNKS):
            if number == self.fails_at and self.error:
                raise self.error
            self.made.append(chunk)
            yield chunk

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def maker() -> Iterator[Maker]:
    """Nothing is held at the end."""
    made = Maker()
    yield made
    gevent.idle()
    assert made.admission.held == 0
    assert made.admission.waiting == 0
    assert made.ended == len(made.began)


@pytest.fixture
def responses() -> Iterator[StreamedResponses]:
    """At the end nothing is reserved, and nobody may join anything."""
    found = StreamedResponses(BOUND)
    yield found
    gevent.idle()
    assert (found._left, found._joinable) == (BOUND, {})


def ask(
    responses: StreamedResponses,
    maker: Maker,
    name: str = "",
    etag: str = "e",
    alive: Callable[[], None] = lambda: None,
) -> gevent.Greenlet[..., Outcome[Reader]]:
    """A request in a greenlet that has begun to wait."""
    asking = gevent.spawn(outcome, responses.get, etag, FRAME, maker.start, Client(name, alive))
    gevent.idle()
    return asking


def sent(reader: Reader) -> bytes:
    """All bytes of a response, which is over then."""
    with closing(reader):
        return b"".join(reader)


def test_identical_requests_are_made_once(maker: Maker, responses: StreamedResponses) -> None:
    """However many ask before the first chunk is made, all get the chunks of one response."""
    asking = [ask(responses, maker, name) for name in ("ann", "ann", "bob", "cid")]
    maker.go.set()
    readers = [each.get()() for each in asking]
    assert [reader.details["shared"] for reader in readers] == [False, True, True, True]
    assert [sent(reader) for reader in readers] == [b"onetwothree"] * 4
    assert (len(maker.began), maker.made) == (1, CHUNKS)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_client_that_leaves_in_the_moment_in_which_it_begins(
    maker: Maker, responses: StreamedResponses, turns: int
) -> None:
    """A client may leave before what makes the chunks has begun to run: permit and reader are free all the same."""
    asking = ask(responses, maker, "ann")
    maker.go.set()
    for _ in range(turns):
        gevent.sleep(0)
    asking.kill()
    with suppress(gevent.GreenletExit):
        asking.get()().close()


def test_nothing_is_made_ahead_of_the_fastest_client(maker: Maker, responses: StreamedResponses) -> None:
    """A slow client holds nobody up, finds later what the fast one has had made, and nobody waits for what it takes."""
    fast, slow = (ask(responses, maker, name) for name in ("fast", "slow"))
    maker.go.set()
    slow_reader, fast_reader = slow.get()(), fast.get()()
    gevent.idle()
    assert maker.made == CHUNKS[:1]
    assert next(slow_reader) == b"one"
    assert [next(fast_reader), next(fast_reader)] == CHUNKS[:2]
    gevent.idle()
    assert maker.made == CHUNKS[:2]
    assert sent(fast_reader) == b"three"
    gevent.idle()
    assert maker.admission.held == 0, "all of it is made: only encoded chunks are held for the slow one"
    assert sent(slow_reader) == b"twothree"


def test_who_comes_later_gets_it_from_the_beginning(maker: Maker, responses: StreamedResponses) -> None:
    """As long as anybody takes a response that several have asked for, more may join; after that it is made anew."""
    maker.go.set()
    readers = [each.get()() for each in [ask_both(responses, maker, "ann"), ask_both(responses, maker, "bob")]]
    assert [next(reader) for reader in readers] == [b"one"] * 2
    late = ask(responses, maker, "cid").get()()
    assert late.details["shared"] is True
    assert [sent(readers[0]), sent(late), sent(readers[1])] == [b"twothree", b"onetwothree", b"twothree"]
    assert len(maker.began) == 1
    assert sent(ask(responses, maker, "dan").get()()) == b"onetwothree"
    assert len(maker.began) == 2


def ask_both(responses: StreamedResponses, maker: Maker, name: str) -> gevent.Greenlet[..., Outcome[Reader]]:
    """A request that has not begun to wait yet."""
    return gevent.spawn(outcome, responses.get, "e", FRAME, maker.start, Client(name))


def test_a_response_for_one_client_is_not_held(maker: Maker, responses: StreamedResponses) -> None:
    """A response that nobody else asked for in time keeps no chunk; who asks later gets one that is made anew."""
    maker.go.set()
    first = ask(responses, maker, "ann").get()()
    assert next(first) == b"one"
    second = ask(responses, maker, "bob")
    assert sent(first) == b"twothree"
    assert sent(second.get()()) == b"onetwothree"
    assert len(maker.began) == 2


def test_what_does_not_fit_is_made_for_each(maker: Maker) -> None:
    """Responses for which there is no room, encoded, are made for each client; so are others while one is held."""
    maker.go.set()
    for limit, etags, times in ((BOUND - 1, "aa", 2), (0, "aa", 2), (BOUND, "aabb", 3), (2 * BOUND, "aabb", 2)):
        maker.began.clear()
        responses = StreamedResponses(limit)
        asking = [
            gevent.spawn(outcome, responses.get, etag, FRAME, maker.start, Client(str(number)))
            for number, etag in enumerate(etags)
        ]
        gevent.joinall([gevent.spawn(lambda one: sent(one.get()()), one) for one in asking], raise_error=True)
        assert len(maker.began) == times
        maker.ended -= times
    maker.began.clear()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("waiting", [True, False])
def test_a_client_that_leaves_takes_nothing_from_the_others(
    maker: Maker, responses: StreamedResponses, *, waiting: bool, first: bool
) -> None:
    """Whether it came first or later, and whether it leaves before or after the first chunk, the others get it all."""
    asking = [ask(responses, maker, name) for name in ("ann", "bob")]
    left, stays = asking if first else reversed(asking)
    if waiting:
        left.kill()
    maker.go.set()
    if not waiting:
        reader = left.get()()
        next(reader)
        reader.close()
        reader.close()  # once more does nothing
    assert sent(stays.get()()) == b"onetwothree"
    assert len(maker.began) == 1


def test_when_all_have_left_nothing_is_made(maker: Maker, responses: StreamedResponses) -> None:
    """The permit is returned as soon as the last client is gone, before or after the first chunk."""
    for asking in [ask(responses, maker, name) for name in ("ann", "bob")]:
        asking.kill()
    gevent.idle()
    assert (maker.ended, maker.admission.held, maker.made) == (1, 0, [])
    maker.go.set()
    for reader in [each.get()() for each in [ask_both(responses, maker, "ann"), ask_both(responses, maker, "bob")]]:
        assert next(reader) == b"one"
        assert maker.admission.held == 2 * SIZE
        reader.close()
    assert (maker.ended, maker.admission.held, maker.made) == (2, 0, CHUNKS[:1])


def test_a_client_that_is_gone_is_noticed(maker: Maker, responses: StreamedResponses) -> None:
    """The check of each client is called before each of its chunks, and that of no other."""

    def gone() -> None:
        raise ClientGone("gone")

    asking = [ask_both(responses, maker, "ann"), ask(responses, maker, "bob", alive=gone)]
    maker.go.set()
    stays, left = (each.get()() for each in asking)
    with closing(left), pytest.raises(ClientGone):
        next(left)
    assert sent(stays) == b"onetwothree"


@pytest.mark.parametrize("at", [0, 1])
def test_errors_reach_all(maker: Maker, responses: StreamedResponses, at: int) -> None:
    """What fails fails for all, each with an error of its own: before the first chunk, or where it is taken."""
    maker.error, maker.fails_at = DecodeError("broken") if at else TooLarge(5, 3), at
    asking = [ask(responses, maker, name) for name in ("ann", "bob", "bob")]
    maker.go.set()
    errors = []
    for each in asking:
        with pytest.raises(type(maker.error)) as caught:
            sent(each.get()())
        errors.append(caught.value)
    assert len({*map(str, errors)}) == 1
    assert len({*map(id, errors)}) == 3
    assert maker.ended == 1


def test_nothing_refers_to_itself(maker: Maker, responses: StreamedResponses) -> None:
    """What was held for several clients is free when the last one is over, without the collector."""
    maker.go.set()
    gc.collect()
    gc.disable()
    try:
        for count in (1, 3):
            asking = [ask_both(responses, maker, str(number)) for number in range(count)]
            gevent.joinall([gevent.spawn(lambda one: sent(one.get()()), one) for one in asking])
            del asking
            gevent.idle()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = [type(each).__module__ for each in gc.garbage]
        # Stores of tests before this one may be given up by their threads at any time.
        assert [kind for kind in kinds if kind.startswith("sidecar") and not kind.startswith("sidecar.testing")] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
