"""Events in, answers out, within this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from apig_wsgi import make_lambda_handler

from sidecar.aws_lambda import events, whole
from sidecar.aws_lambda.environment import defaults
from sidecar.aws_lambda.handler import Handler, make_handler
from sidecar.config import Settings, core, load
from sidecar.errors import StartError
from sidecar.limits.memory_limit import ALLOCATOR
from sidecar.limits.threads import NativePool
from sidecar.observability import tracing
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient
from tests.aws_lambda.answers import Sent
from tests.aws_lambda.events import CLIENT, FRONTS, HOST, Event, Headers, balancer, http_2, rest, url
from tests.nginx.peers import HOST as HERE
from tests.nginx.peers import Peer, reply, saying

Front = Callable[..., Event]
IMAGE = "/iiif/3/a%2Fb%20%25.gradient"
PIXELS = gradient(50, 40)


def handler_of(**settings: Any) -> Iterator[Handler]:
    native = NativePool(1)
    source = MemorySource({"a/b %.gradient": MemoryBlob("a/b %.gradient", PIXELS)})
    registry = Registry([source], [GradientDecoder()], {"raw": RawEncoderFactory()})
    layers = {"AWS Lambda": {"": {**defaults({})["AWS Lambda"][""], **settings}}}
    yield make_handler(create_app(load([], None, layers), registry, native))
    native.close()


@pytest.fixture(scope="module", name="handler")
def _handler() -> Iterator[Handler]:
    """The handler around an application with one image."""
    yield from handler_of()


@pytest.fixture(scope="module")
def staged() -> Iterator[Handler]:
    """The same, behind a stage."""
    yield from handler_of(prefix="/prod")


def ask(handler: Handler, event: Mapping[str, Any]) -> Sent:
    return Sent.of(handler(event, None))


@pytest.mark.parametrize("front", FRONTS)
def test_every_front(handler: Handler, front: Front) -> None:
    """Identifiers with encoded slashes, per cents and spaces arrive, and ids are https URLs at the client's host."""
    answer = ask(handler, front(f"{IMAGE}/full/max/0/default.raw"))
    assert answer.status == 200
    link = answer.headers["link"]
    assert link == f'<https://{HOST}{IMAGE}/full/max/0/default.raw>;rel="canonical"'
    info = ask(handler, front(f"{IMAGE}/info.json"))
    assert f'"id": "https://{HOST}{IMAGE}"'.encode() in info.body.replace(b'":"', b'": "')
    assert len(answer.body) == int(answer.headers["content-length"])


@pytest.mark.parametrize("front", FRONTS)
def test_conditions_heads_and_queries(handler: Handler, front: Front) -> None:
    """ETags are taken back, HEAD has no body, and parameters of the query arrive."""
    path = f"{IMAGE}/full/max/0/default.raw"
    etag = ask(handler, front(path)).headers["etag"]
    unchanged = ask(handler, front(path, headers={"if-none-match": etag}))
    assert (unchanged.status, unchanged.body) == (304, b"")
    head = ask(handler, front(path, "HEAD"))
    assert (head.status, head.body) == (200, b"")
    named = ask(handler, front(f"{path}?response-content-disposition=attachment"))
    assert named.headers.get("content-disposition", "").startswith("attachment")


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("headers", [{}, {"x-forwarded-for": "127.0.0.1"}], ids=["plain", "forged"])
def test_nobody_is_believed(handler: Handler, front: Front, headers: Headers) -> None:
    """What clients write into headers opens no status page, and changes no ids."""
    forged = {**headers, "x-forwarded-host": "evil.example", "x-sidecar-handover": "nginx"}
    assert ask(handler, front("/sidecar/", headers=forged)).status in (403, 404)
    info = ask(handler, front(f"{IMAGE}/info.json", headers=forged))
    assert b"evil" not in info.body
    assert info.status == 200
    missing = ask(handler, front("/iiif/3/none/info.json", headers=forged))
    assert missing.status == 404


def test_handover() -> None:
    """What is Cantaloupe's is asked of it, if there is one, and refused with a text otherwise."""
    path = f"{IMAGE}/full/max/0/default.tif"
    made = contextmanager(handler_of)
    with (
        Peer(saying(reply(200, b"\xffcantaloupe's"))) as cantaloupe,
        made(cantaloupe_url=f"http://{HERE}:{cantaloupe.port}") as handler,
    ):
        assert ask(handler, url(path)).body == b"\xffcantaloupe's"
    with made() as alone:
        refused = ask(alone, url(path))
    assert refused.status == 501
    assert b"tif" in refused.body


def test_addresses() -> None:
    """The client is who AWS says it is; an address of this machine is nobody's."""
    assert {events.read(front("/")).address for front in FRONTS} == {CLIENT}
    forged = balancer("/")
    forged["headers"]["x-forwarded-for"] = "127.0.0.1"
    assert events.read(forged).address == "0.0.0.0"  # noqa: S104  # nobody
    del forged["headers"]["x-forwarded-for"]
    assert events.read(forged).address == "0.0.0.0"  # noqa: S104  # nobody


@pytest.mark.parametrize("event", [rest(f"{IMAGE}/info.json"), http_2(f"/prod{IMAGE}/info.json")], ids=["rest", "http"])
def test_stages(staged: Handler, event: Event) -> None:
    """With SIDECAR_PREFIX, ids have the stage, whether the front leaves it in the path or not."""
    assert f"https://{HOST}/prod{IMAGE}".encode() in ask(staged, event).body


@pytest.mark.parametrize("front", FRONTS)
def test_too_large(handler: Handler, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that Lambda would not pass on is refused, and says so; one of just the size goes out."""
    came = events.read

    def shorter(event: events.Event) -> events.Came:
        return replace(came(event), longest=length)

    whole_answer = ask(handler, front(f"{IMAGE}/full/max/0/default.raw"))
    monkeypatch.setattr(whole, "read", shorter)
    length = len(whole_answer.body)
    assert ask(handler, front(f"{IMAGE}/full/max/0/default.raw")).body == whole_answer.body
    length -= 1
    refused = ask(handler, front(f"{IMAGE}/full/max/0/default.raw"))
    assert (refused.status, refused.headers["x-sidecar-reason"]) == (413, "too-large")
    assert str(length).encode() in refused.body


def test_limits_leave_room_for_base64() -> None:
    """What is passed on whole is at most 6 MiB, or 1 MiB behind a balancer, as base64 with the head of the answer."""
    for front, most in ((rest, 6 * 2**20), (url, 6 * 2**20), (balancer, 2**20)):
        longest = events.read(front("/")).longest
        assert most - 20_000 < longest / 3 * 4 < most - 10_000


@pytest.mark.parametrize(
    "event",
    [
        *({}, {"Records": []}, {"requestContext": None}, {"requestContext": []}),
        *({"requestContext": {"elb": {}}}, {"requestContext": {}}, {"version": "2.0", "requestContext": {}}),
        {"version": "2.0", "rawPath": "/", "requestContext": {"http": None}},
        # Of a WebSocket API.
        {"requestContext": {"eventType": "MESSAGE", "connectionId": "x", "identity": {"sourceIp": CLIENT}}},
    ],
)
def test_events_that_are_no_requests(handler: Handler, event: Event) -> None:
    """They are refused with a text that says so, whatever is missing."""
    with pytest.raises(ValueError, match="no HTTP request"):
        handler(event, None)


def test_what_breaks_off_is_raised() -> None:
    """Half an answer is none: the front of Lambda answers with 502."""

    class BreaksOff:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise StartError("gone")

        def close(self) -> None:
            self.closed = True

    chunks = BreaksOff()

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> BreaksOff:
        start_response("200 OK", [])
        return chunks

    with pytest.raises(StartError):
        whole.Whole(app)({events.EVENT: url("/")}, lambda *_: None)
    assert chunks.closed


def test_health_checks_of_a_load_balancer(handler: Handler) -> None:
    """They come without a host, an address and parameters ("Lambda functions as targets", health checks)."""
    event = {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1"}},
        "httpMethod": "GET",
        "path": "/sidecar/health",
        "queryStringParameters": {},
        "headers": {"user-agent": "ELB-HealthChecker/2.0"},
        "body": "",
        "isBase64Encoded": False,
    }
    assert ask(handler, event).status == 200
    assert ask(handler, {**event, "path": f"{IMAGE}/info.json"}).status == 200


@pytest.mark.parametrize("front", FRONTS)
def test_a_header_in_several_lines(front: Front) -> None:
    """Each front passes on all of its values, in one line (RFC 9110 §5.3)."""

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Link", "<a>"), ("Vary", "Accept"), ("link", "<b>")])
        return [b""]

    answer = Sent.of(make_lambda_handler(whole.Whole(app), binary_support=True)(front("/"), None))
    assert (answer.headers["link"], answer.headers["vary"]) == ("<a>, <b>", "Accept")


class Remaining:
    """What Lambda says of an invocation that has so many milliseconds left."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class Ending:
    """What Lambda says of an invocation, each time that it is asked."""

    def __init__(self, milliseconds: list[int]) -> None:
        self._milliseconds = iter(milliseconds)

    def get_remaining_time_in_millis(self) -> int:
        return next(self._milliseconds)


def test_a_refusal_gets_out_before_the_functions_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits is refused while there is time for it; the next one is answered."""
    path = f"{IMAGE}/info.json"
    with contextmanager(handler_of)() as handler:
        with monkeypatch.context() as slow:
            slow.setattr(MemorySource, "find", lambda *_: gevent.sleep(60))
            refused = Sent.of(handler(url(path), Remaining(600)))
        assert (refused.status, refused.headers["x-sidecar-reason"]) == (504, "deadline")
        assert Sent.of(handler(url(path), Remaining(30_000))).status == 200


def test_an_answer_gets_out_although_traces_do_not(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    """A collector that says nothing is not waited for until Lambda ends the environment, and the answer with it."""
    monkeypatch.setattr(tracing, "flush", lambda: gevent.sleep(3600))
    with gevent.Timeout(60):
        assert Sent.of(handler(url(f"{IMAGE}/info.json"), Ending([30_000, 600]))).status == 200


def test_defaults() -> None:
    """Half of the function's memory is for responses, unless it is set otherwise."""
    made = core(load([], None, defaults({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"})))
    assert (made.memory_bytes, made.workers, made.sandbox) == (1769 * 2**19, 1, "off")
    assert core(Config.of(Settings())).workers == 2


def test_the_template_sets_the_allocator() -> None:
    """The example has the variables that `sidecar serve` sets for itself."""
    template = (Path(__file__).parents[3] / "examples/lambda/template.yaml").read_text()
    for name, value in ALLOCATOR.items():
        assert f'{name}: "{value}"' in template
