"""Identical small responses are made once: for all that wait, whoever comes, leaves, or has to wait for memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import gevent
import pytest
from gevent.event import Event

from sidecar.errors import ClientGone, DecodeError, Overloaded, TooLarge
from sidecar.limits.admission import Admission
from sidecar.limits.outcome import Outcome, outcome, repeater
from sidecar.limits.release import UninterruptibleStack
from sidecar.observability.work import CURRENT, Work
from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.whole_responses import Whole, WholeResponses

SIZE = 1000


@dataclass
class Maker:
    """Makes responses one of which takes nearly all memory; each waits for `go` once it has begun."""

    admission: Admission = field(default_factory=lambda: Admission(SIZE + 100, 10, 5))
    go: Event = field(default_factory=Event)
    error: Exception | None = None
    began: list[str] = field(default_factory=list)
    ended: int = 0

    def start(self, client: Client) -> Body:
        """Begin one; `ended` counts how many are over."""
        owned = UninterruptibleStack()
        try:
            permit = self.admission.take(SIZE, large=False, client=client.name, check_alive=client.check_alive)
            place = owned.enter_context(permit)
            client.granted()
            self.began.append(client.name)
            owned.callback(self._end)
            self._wait()
            return Body(b"made", iter([b" whole"]), owned, place)
        except BaseException as error:
            owned.__exit__(type(error), error, error.__traceback__)
            raise

    def _wait(self) -> None:
        self.go.wait()
        if self.error:
            raise self.error

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def maker() -> Iterator[Maker]:
    """Nothing is held at the end."""
    made = Maker()
    yield made
    assert made.admission.held == 0
    assert made.admission.waiting == 0
    assert made.ended == len(made.began)


def ask(
    responses: WholeResponses, maker: Maker, client: Client, etag: str = "e"
) -> gevent.Greenlet[..., Outcome[Whole]]:
    """A request in a greenlet that has begun to wait."""
    asking = gevent.spawn(outcome, responses.get, etag, maker.start, client)
    gevent.idle()
    return asking


def sent(asking: gevent.Greenlet[..., Outcome[Whole]]) -> bytes:
    """The bytes that a request got; it has sent them."""
    whole = asking.get()()
    whole.over()
    whole.over()  # once more does nothing
    return whole.data


def test_identical_requests_are_made_once(maker: Maker) -> None:
    """However many ask at the same time, whoever they are, get the bytes of one response."""
    responses = WholeResponses()
    asking = [ask(responses, maker, Client(name)) for name in ("ann", "ann", "bob", "cid")]
    maker.go.set()
    wholes = [each.get()() for each in asking]
    assert {whole.data for whole in wholes} == {b"made whole"}
    assert maker.began == ["ann"]
    assert [whole.details.get("shared", False) for whole in wholes] == [False, True, True, True]
    for whole in wholes[:-1]:
        whole.over()
    assert maker.admission.held == len(b"made whole"), "the last one still sends it"
    wholes[-1].over()


def test_all_know_the_decoder(maker: Maker) -> None:
    """Whoever gets what was made for another knows who opened the image, though that was not done for it."""
    responses, works = WholeResponses(), [Work(), Work()]

    def start(client: Client) -> Body:
        if work := CURRENT.get():
            work.decoder = "jp2"
        return maker.start(client)

    def get(work: Work) -> None:
        CURRENT.set(work)
        responses.get("e", start, Client("a")).over()

    asking = [gevent.spawn(get, work) for work in works]
    gevent.idle()
    maker.go.set()
    gevent.joinall(asking, raise_error=True)
    assert maker.began == ["a"]
    assert [work.decoder for work in works] == ["jp2", "jp2"]


def test_one_after_the_other(maker: Maker) -> None:
    """A response that is over is made anew."""
    responses = WholeResponses()
    maker.go.set()
    assert [sent(ask(responses, maker, Client("ann"))) for _ in range(2)] == [b"made whole"] * 2
    assert maker.began == ["ann", "ann"]


def test_others_are_others(maker: Maker) -> None:
    """Another ETag is another response."""
    responses = WholeResponses()
    maker.go.set()
    assert [sent(ask(responses, maker, Client(), etag)) for etag in "ab"] == [b"made whole"] * 2
    assert len(maker.began) == 2


def gone() -> None:
    """The check of a client that has left."""
    raise ClientGone("gone")


@pytest.mark.parametrize("leave", ["killed", "gone"])
@pytest.mark.parametrize("first", [True, False])
def test_a_client_that_leaves_takes_nothing_from_the_others(maker: Maker, leave: str, *, first: bool) -> None:
    """Whether it came first or later, and however it leaves, the others get the response."""
    responses = WholeResponses()
    leaving = Client("ann", gone if leave == "gone" else lambda: None)
    clients = [leaving, Client("bob")] if first else [Client("bob"), leaving]
    asking = [ask(responses, maker, client) for client in clients]
    left, stays = asking if first else reversed(asking)
    if leave == "killed":
        left.kill()
    else:
        with pytest.raises(ClientGone):
            left.get()()
    maker.go.set()
    assert sent(stays) == b"made whole"
    assert len(maker.began) == 1


def test_when_all_have_left_the_work_ends(maker: Maker) -> None:
    """Nothing goes on for nobody, and who comes after that gets a response of its own."""
    responses = WholeResponses()
    for asking in [ask(responses, maker, Client(name)) for name in ("ann", "bob")]:
        asking.kill()
    gevent.idle()
    assert (maker.ended, maker.admission.held) == (1, 0)
    maker.go.set()
    assert sent(ask(responses, maker, Client("cid"))) == b"made whole"


def test_errors_reach_all(maker: Maker) -> None:
    """What fails fails for all that wait, each with an error of its own."""
    responses = WholeResponses()
    maker.error = TooLarge(5, 3)
    asking = [ask(responses, maker, Client(name)) for name in ("ann", "bob", "bob")]
    maker.go.set()
    errors = []
    for each in asking:
        with pytest.raises(TooLarge) as caught:
            each.get()()
        errors.append(caught.value)
    assert len({*map(str, errors)}) == 1
    assert len({*map(id, errors)}) == 3
    assert maker.ended == 1


def waiting_behind(maker: Maker) -> Callable[[], None]:
    """Take all memory, so that whoever comes waits; returns what gives it back."""
    permit = maker.admission.take(SIZE, large=False, client="crawler")
    permit.__enter__()
    return partial(_leave, permit)


def _leave(permit: AbstractContextManager[object]) -> None:
    permit.__exit__(None, None, None)


def test_each_client_waits_in_its_own_turn(maker: Maker) -> None:
    """A crawler that asked for the same response earlier, behind many others of its own, delays nobody."""
    responses = WholeResponses()
    free = waiting_behind(maker)
    maker.go.set()
    before = [ask(responses, maker, Client("crawler"), str(number)) for number in range(3)]
    crawler = ask(responses, maker, Client("crawler"), "hot")
    visitor = ask(responses, maker, Client("visitor"), "hot")
    free()
    assert sent(visitor) == b"made whole"
    assert maker.began.index("visitor") <= 1
    assert sent(crawler) == b"made whole"
    assert [sent(each) for each in before] == [b"made whole"] * 3
    assert len(maker.began) == 4


def test_no_memory_in_time_is_one_clients_error(maker: Maker) -> None:
    """Who came first and has waited too long is refused; who came later for the same gets it."""
    maker.admission = Admission(SIZE + 100, 10, 0.2)
    responses = WholeResponses()
    free = waiting_behind(maker)
    first = ask(responses, maker, Client("ann"))
    maker.admission._timeout = 3600  # of those who begin to wait from here on
    second = ask(responses, maker, Client("bob"))
    with pytest.raises(Overloaded):
        first.get()()
    free()
    maker.go.set()
    assert sent(second) == b"made whole"


def test_a_repeated_error_is_the_same_each_time() -> None:
    """Kind, text and fields of an error that is raised again are those of the first; its frames are not kept."""
    raise_again = repeater(DecodeError("broken"))
    found = []
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"^broken$") as caught:
            raise_again()
        found.append(caught.value)
    assert found[0] is not found[1]
