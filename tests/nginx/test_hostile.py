"""Requests that are meant to hurt: paths that lead out, bytes that confuse, two requests in the clothes of one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import pytest

from tests.nginx.conftest import Stack
from tests.nginx.peers import ask, raw

BASE = "/iiif/3/tiled_512.jp2"
MARK = "/smuggled"


def status(data: bytes) -> int:
    """Return the status of the first response; 0 if there was none."""
    return int(data[9:12]) if data.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize(
    "identifier",
    [
        "..%2Fsecret.jp2",
        "%2E%2E%2Fsecret.jp2",
        "..%2fsecret%2Ejp2",
        "..%252Fsecret.jp2",
        "%252E%252E%252Fsecret.jp2",
        "sub%20folder%2F..%2F..%2Fsecret.jp2",
        "....%2F%2Fsecret.jp2",
        "..%5Csecret.jp2",
        "..%C0%AFsecret.jp2",
        "..%EF%BC%8Fsecret.jp2",
        "%2Fetc%2Fpasswd.jp2",
        "..%2Fsecret.jp2%00.jp2",
        "tiled_512.jp2%00",
        "leading_out.jp2",
        "file:%2F%2F%2Fetc%2Fpasswd.jp2",
    ],
)
def test_no_identifier_leads_out_of_the_folder(stack: Stack, identifier: str) -> None:
    """However it is written, a path outside the folder is no image: Cantaloupe answers it, or nginx refuses it."""
    for rest in ("info.json", "full/max/0/default.jpg"):
        answer = ask(stack.port, f"/iiif/3/{identifier}/{rest}")
        assert answer.status == 400 or answer.text == "cantaloupe's answer"


def test_no_byte_confuses(stack: Stack) -> None:
    """Every byte, raw in the identifier or in the query, gets an answer that is nobody's failure."""
    for byte in (bytes([value]) for value in range(256) if value not in b"\r\n"):
        for target in (b"/iiif/3/a" + byte + b"b.jp2/info.json", BASE.encode() + b"/info.json?a=" + byte):
            answer = raw(stack.port, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert status(answer) in (200, 400, 404), byte


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    "target",
    [
        b"/iiif/3/bug_\xc3\xa9.jp2/info.json",
        b"/iiif/3/bug_\xc3\xa9.jp2/full/max/0/default.jpg",
        b"/iiif/3/sub%20folder%2Fd\xc3\xa9j\xc3\xa0.jp2/info.json",
        b"/iiif/2/latin_\xe9.jp2/info.json",
        b"/iiif/3/\xff\xfe.jp2",
        BASE.encode() + b"/info.json?a=\xc3\xa9",
    ],
)
def test_bytes_above_ascii_are_handed_over(stack: Stack, target: bytes, method: bytes) -> None:
    """A URL that is not percent-encoded reaches Cantaloupe as it came, whether or not there is such an image."""
    answer = raw(stack.port, method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status(answer) == 200
    (request,) = stack.cantaloupe.requests
    assert request.target.encode("latin-1") == target
    alone = raw(stack.sidecar.port, method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status(alone) == 400
    assert b"text/plain" in alone


REFUSED: Final = {
    "a control": (b"GET /iiif/3/a\x01b.jp2/info.json HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a tab": (b"GET /iiif/3/a\tb.jp2/info.json HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a space": (b"GET /iiif/3/a b.jp2/info.json HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "DEL": (b"GET /iiif/3/a\x7fb.jp2/info.json HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "NUL": (b"GET /iiif/3/a\0b.jp2/info.json HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a bare line feed": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\nHost: x\n\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a star": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an authority": (b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a method in small letters": (b"get /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "another version": (b"GET /iiif/3/a.jp2/info.json HTTP/3.0\r\nHost: x\r\n\r\n", 400),
    "two hosts": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a header without a name": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400),
    "a name above ASCII": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\nX\xe9: y\r\n\r\n", 400),
    "a control in a header": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\nX: \x01\r\n\r\n", 400),
    "a folded header": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n", 400),
    "an expectation": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\nExpect: a-tip\r\n\r\n", 417),
    "a coding": (b"GET /iiif/3/a.jp2/info.json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", 501),
    "a long URL": (b"GET /iiif/3/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "many headers": (b"GET /iiif/3/a.jp2 HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 300 + b"\r\n", 431),
}
"""What gunicorn refuses before the application, and the status. Cantaloupe's Jetty refuses it too, nginx most of it."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused_in_plain_text(stack: Stack, name: str) -> None:
    """The sidecar's own refusal: a status, a line of text, no HTML, and nothing of the request."""
    request, expected = REFUSED[name]
    answer = raw(stack.sidecar.port, request)
    assert status(answer) == expected
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain" in head
    assert b"Content-Length: %d" % len(body) in head
    assert body == f"{expected} {HTTPStatus(expected).phrase}\n\nthis is not a request that HTTP/1.1 allows\n".encode()


@pytest.mark.parametrize("length", [4000, 8000, 8192, 20000])
def test_long_urls_are_answered(stack: Stack, length: int) -> None:
    """A URL as long as nginx takes it is answered like any other, a longer one with 414."""
    for target in (f"/iiif/3/{'a' * length}.jp2/info.json", f"{BASE}/{'1' * length},1,1,1/max/0/default.jpg"):
        assert ask(stack.port, target).status == (200 if length < 8192 else 414)


@pytest.mark.parametrize(
    "target", [f"{BASE}%0d%0aX-Injected:%20yes", f"{BASE}?%0d%0aX-Injected:%20yes", BASE + "%0A.jp2"]
)
def test_no_header_can_be_injected(stack: Stack, target: str) -> None:
    """Line ends that are encoded in a URL stay encoded in the headers that repeat it."""
    answer = ask(stack.port, target)
    assert "X-Injected" not in answer.headers
    answer = ask(stack.sidecar.port, target)
    assert "X-Injected" not in answer.headers


@pytest.mark.parametrize("host", [b"evil/..", b"a b", b'"><script>', b"evil>;rel=x", b"x\x01"])
@pytest.mark.parametrize("target", [BASE, BASE + "/info.json", BASE + "/full/9,/0/default.jpg"])
def test_a_host_is_a_host(stack: Stack, target: str, host: bytes) -> None:
    """A Host header that is none does not come back in an answer of the sidecar, behind nginx or alone."""
    request = f"GET {target} HTTP/1.1\r\nConnection: close\r\n".encode() + b"Host: " + host + b"\r\n\r\n"
    for port in (stack.port, stack.sidecar.port):
        answer = raw(port, request)
        assert status(answer) == 400 or answer.endswith(b"cantaloupe's answer")
        assert host not in answer


SMUGGLED = f"GET {MARK} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
FRAMINGS = {
    "both": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (len(SMUGGLED) + 5),
    "both, chunked first": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: %d\r\n" % (len(SMUGGLED) + 5),
    "a list of lengths": b"Content-Length: 5, 5\r\n",
    "a signed length": b"Content-Length: +5\r\n",
    "a length in hexadecimal": b"Content-Length: 0x5\r\n",
    "a length with a space before the colon": b"Content-Length : 5\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
}


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("name", FRAMINGS)
def test_nothing_is_smuggled_past_nginx(stack: Stack, name: str, method: bytes) -> None:
    """What can be read as one request or as two is refused, or stays one (RFC 9112 §6.3)."""
    head = method + f" {BASE}/info.json HTTP/1.1\r\nHost: x\r\n".encode() + FRAMINGS[name]
    answer = raw(stack.port, head + b"Connection: close\r\n\r\n0\r\n\r\n" + SMUGGLED)
    assert status(answer) in (200, 400, 501)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert MARK not in [request.target for request in stack.cantaloupe.requests]


@pytest.mark.parametrize("name", FRAMINGS)
def test_nothing_is_smuggled_past_gunicorn(stack: Stack, name: str) -> None:
    """The sidecar without nginx reads no such request as two."""
    head = f"GET {BASE}/info.json HTTP/1.1\r\nHost: x\r\n".encode() + FRAMINGS[name]
    before = stack.sidecar.metric("sidecar_requests_total")
    answer = raw(
        stack.sidecar.port, head + b"\r\n0\r\n\r\n" + SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    )
    assert status(answer) in (200, 400, 501)
    assert MARK.encode() not in answer
    assert stack.sidecar.metric("sidecar_requests_total") - before <= 2


def test_requests_in_a_row_are_each_answered(stack: Stack) -> None:
    """Two whole requests sent at once get two answers in order (RFC 9112 §9.3.2)."""
    one = f"GET {BASE}/info.json HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    two = f"GET {BASE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answer = raw(stack.port, one + two)
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 303]
