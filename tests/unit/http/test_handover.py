"""Handing over, in three ways: through nginx, streamed from a Cantaloupe, explained by the sidecar itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import falcon.testing
import pytest

from sidecar.config import Settings
from sidecar.http.middleware import Wsgi
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config
from sidecar.registry import Registry
from sidecar.server.application import create_app

ELSEWHERE: Final = "/iiif/3/a%2Fb%3Fc.tif/full/max/0/default.webp?a=1&b=%20x"


@dataclass
class StandIn:
    """A Cantaloupe that answers as it is set to, and keeps the requests."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"picture"
    promised: int | None = None
    """The Content-Length, if it is not that of the body."""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep a request and answer it."""
        length = int(handler.headers.get("Content-Length", 0))
        self.asked.append((handler.command, handler.path, dict(handler.headers.items()), handler.rfile.read(length)))
        self.connections.add(handler.client_address)
        handler.send_response(self.status)
        bodiless = self.status in (204, 304)
        if not bodiless:
            handler.send_header("Content-Length", str(len(self.body) if self.promised is None else self.promised))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD" and not bodiless:
            handler.wfile.write(self.body)
        if self.promised is not None:
            handler.close_connection = True


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A running stand-in on an ephemeral port."""
    told = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def answer(self) -> None:
            told.answer(self)

        do_GET = do_HEAD = do_POST = do_OPTIONS = do_DELETE = answer  # noqa: N815  # http.server calls them so

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def pool() -> Iterator[NativePool]:
    """Native threads for all tests of this file."""
    native = NativePool(1)
    yield native
    native.close()


@pytest.fixture
def sidecar(pool: NativePool) -> Callable[[str], Wsgi]:
    """Make a sidecar without plugins, so that every request is handed over."""
    return lambda url: create_app(Config.of(Settings(cantaloupe_url=url)), Registry((), (), {}), pool)


def ask(
    app: Wsgi, target: str = ELSEWHERE, method: str = "GET", body: bytes | None = None, **headers: str
) -> falcon.testing.Result:
    """Send a request to the sidecar, with the target as it stands on the request line."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    query = target.partition("?")[2]
    return falcon.testing.simulate_request(
        app, method, "/", query_string=query, headers=named, body=body, extras={"RAW_URI": target}
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_nginx_is_told_to_ask_cantaloupe(sidecar: Callable[[str], Wsgi], method: str) -> None:
    """Behind nginx the response to every method is an empty 421 that no cache keeps; the sidecar asks no Cantaloupe."""
    answer = ask(sidecar("http://127.0.0.1:9"), method=method, X_Sidecar_Handover="nginx")
    assert (answer.status_code, answer.content) == (421, b"")
    assert answer.headers["x-accel-redirect"] == "@cantaloupe"
    assert answer.headers["cache-control"] == "no-store"


def test_answer_is_streamed_as_it_came(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """Status, headers and bytes are those of Cantaloupe, and it receives the target as it came, `%2F` included."""
    stand_in.status = 403
    stand_in.headers = {"Content-Type": "text/x-odd", "X-Powered-By": "Cantaloupe", "Cache-Control": "no-cache"}
    stand_in.body = bytes(range(256)) * 1000
    answer = ask(sidecar(stand_in.url))
    assert (answer.status_code, answer.content) == (403, stand_in.body)
    assert answer.headers["content-length"] == str(len(stand_in.body))
    assert stand_in.headers.items() <= {k.title(): v for k, v in answer.headers.items()}.items()
    assert stand_in.asked[0][:2] == ("GET", ELSEWHERE)


def test_encoded_answers_stay_encoded(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """A response that Cantaloupe compressed stays compressed."""
    stand_in.headers, stand_in.body = {"Content-Encoding": "gzip"}, b"\x1f\x8b not really"
    answer = ask(sidecar(stand_in.url), Accept_Encoding="gzip")
    assert (answer.content, answer.headers["content-encoding"]) == (stand_in.body, "gzip")


def test_headers_between_neighbours_go_no_further(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """Hop-by-hop headers, and those that Connection names, are dropped both ways (RFC 9110 §7.6.1)."""
    stand_in.headers = {"Keep-Alive": "timeout=5", "Proxy-Authenticate": "Basic", "X-Kept": "yes"}
    answer = ask(sidecar(stand_in.url), Connection="X-Hop, close", X_Hop="1", TE="trailers", X_Other="2")
    assert "keep-alive" not in answer.headers
    assert "proxy-authenticate" not in answer.headers
    assert answer.headers["x-kept"] == "yes"
    sent = {name.lower(): value for name, value in stand_in.asked[0][2].items()}
    assert sent["x-other"] == "2"
    assert not {"x-hop", "te", "x-sidecar-handover"} & set(sent)


def test_headers_named_by_the_answers_connection_go_no_further(
    sidecar: Callable[[str], Wsgi], stand_in: StandIn
) -> None:
    """Connection names headers in answers as it does in requests (RFC 9110 §7.6.1)."""
    stand_in.headers = {"Connection": "X-Hop", "X-Hop": "between neighbours"}
    assert "x-hop" not in ask(sidecar(stand_in.url)).headers


def test_cantaloupe_orders_nginx_about_nothing(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """X-Accel-* of Cantaloupe goes no further: an nginx in front would follow it."""
    stand_in.headers = {"X-Accel-Redirect": "/private", "X-Accel-Expires": "1000", "X-Other": "1"}
    answer = ask(sidecar(stand_in.url))
    assert answer.headers["x-other"] == "1"
    assert not [name for name in answer.headers if name.startswith("x-accel")]


def test_cantaloupe_learns_who_asked(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """Host stays, X-Forwarded-For and Via grow."""
    ask(sidecar(stand_in.url), Host="images.test", X_Forwarded_For="10.0.0.9", Via="1.1 edge")
    sent = {name.lower(): value for name, value in stand_in.asked[0][2].items()}
    assert sent["host"] == "images.test"
    assert sent["x-forwarded-for"].startswith("10.0.0.9, ")
    assert sent["via"].startswith("1.1 edge, 1.1 ")


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304)])
def test_answers_without_a_body(sidecar: Callable[[str], Wsgi], stand_in: StandIn, method: str, status: int) -> None:
    """They keep their headers, have no body, and leave the connection fit for the next request."""
    stand_in.status, stand_in.headers = status, {"ETag": '"x"'}
    app = sidecar(stand_in.url)
    for _ in range(3):
        answer = ask(app, method=method)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (status, b"", '"x"')
    assert len(stand_in.connections) == 1


def test_head_tells_the_length(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """HEAD's Content-Length is that of GET (RFC 9110 §8.6)."""
    assert ask(sidecar(stand_in.url), method="HEAD").headers["content-length"] == str(len(stand_in.body))


def test_connection_is_kept(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """Answers that were read to their end leave their connection for the next."""
    app = sidecar(stand_in.url)
    for _ in range(3):
        assert ask(app).content == stand_in.body
    assert len(stand_in.connections) == 1


def test_body_never_read(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """If a client leaves before the first byte, the next response is not mixed up with its own."""
    stand_in.body = b"first" * 100_000
    app = sidecar(stand_in.url)
    environ = falcon.testing.create_environ("/")
    environ["RAW_URI"] = ELSEWHERE
    body = app(environ, falcon.testing.StartResponseMock())
    body.close()  # type: ignore[attr-defined]  # PEP 3333: a server calls it where it is there
    stand_in.body = b"second"
    assert ask(app).content == b"second"


@pytest.mark.parametrize("sent", [0, 10, 200_000])
def test_truncated_answer_breaks_off(sidecar: Callable[[str], Wsgi], stand_in: StandIn, sent: int) -> None:
    """If Cantaloupe breaks off, the response is never ended as if it were whole."""
    stand_in.body, stand_in.promised = bytes(sent), 300_000
    environ = falcon.testing.create_environ("/")
    environ["RAW_URI"] = ELSEWHERE
    body = sidecar(stand_in.url)(environ, falcon.testing.StartResponseMock())
    with pytest.raises(Exception, match=r"(?i)incomplete|broken"):
        b"".join(body)
    body.close()  # type: ignore[attr-defined]  # PEP 3333: a server calls it where it is there


def test_redirects_are_the_clients(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """A redirect is passed on, not followed."""
    stand_in.status, stand_in.headers = 303, {"Location": "http://127.0.0.1:9/elsewhere"}
    answer = ask(sidecar(stand_in.url))
    assert (answer.status_code, answer.headers["location"]) == (303, "http://127.0.0.1:9/elsewhere")


def test_request_bodies_go_along(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """POST, as to Cantaloupe's own API, arrives with its body."""
    ask(sidecar(stand_in.url), "/tasks", "POST", b'{"verb": "PurgeCache"}', Content_Type="application/json")
    method, path, _, body = stand_in.asked[0]
    assert (method, path, body) == ("POST", "/tasks", b'{"verb": "PurgeCache"}')


def test_path_of_the_setting_comes_first(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """A Cantaloupe below a path receives requests there."""
    ask(sidecar(stand_in.url + "/images/"))
    assert stand_in.asked[0][1] == "/images" + ELSEWHERE


def test_absolute_form_is_asked_as_a_path(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """A target with scheme and host becomes the path below the setting's (RFC 9112 §3.2.1: to servers it is a path)."""
    answer = ask(sidecar(stand_in.url + "/images"), "http://public.test/iiif/3/x.tif/info.json")
    assert (answer.status_code, stand_in.asked[0][1]) == (200, "/images/iiif/3/x.tif/info.json")


def test_loop_is_seen(sidecar: Callable[[str], Wsgi], stand_in: StandIn) -> None:
    """A Cantaloupe that is the sidecar itself is recognized by Via: one hop, then 502."""
    app = sidecar(stand_in.url)
    ask(app)
    via = {name.lower(): value for name, value in stand_in.asked[0][2].items()}["via"]
    answer = ask(app, Via=via)
    assert (answer.status_code, len(stand_in.asked)) == (502, 1)
    assert "leads back" in answer.text


def test_nobody_listens(sidecar: Callable[[str], Wsgi]) -> None:
    """If Cantaloupe is down, the response is a 502 with a text, which is not to be cached."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    answer = ask(sidecar(f"http://127.0.0.1:{port}"))
    assert answer.status_code == 502
    assert str(port) not in answer.text
    assert answer.text.startswith("502 Bad Gateway")


def test_explained_without_cantaloupe(sidecar: Callable[[str], Wsgi]) -> None:
    """With neither, the response says what was wrong with the request."""
    answer = ask(sidecar(""))
    assert answer.status_code == 415
    assert len(answer.text) > 20


def test_connections_to_cantaloupe_are_bounded(
    pool: NativePool, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If every connection to Cantaloupe is in use, a further request is refused, and asks it nothing."""
    monkeypatch.setattr("sidecar.http.proxy._PATIENCE", 0.01)
    settings = Settings(cantaloupe_url=stand_in.url, cantaloupe_connections=1)
    app = create_app(Config.of(settings), Registry((), (), {}), pool)
    environ = falcon.testing.create_environ("/other") | {"RAW_URI": "/other"}
    under_way = app(environ, lambda *_: None)
    answer = ask(app)
    assert (answer.status_code, answer.headers["retry-after"], len(stand_in.asked)) == (503, "5", 1)
    for _ in under_way:
        pass
    under_way.close()  # type: ignore[attr-defined]  # a response of the sidecar has it
    assert ask(app).status_code == 200
