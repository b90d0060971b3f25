"""A server that lies: whatever it sends is an error of the storage, 502 or 504, and no exception of any other kind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import gevent.socket
import pytest
import sidecar_http
from sidecar_http.settings import HttpSettings

from sidecar.errors import SourceChanged, SourceError
from sidecar.plugin import ByteRange, Config, Source
from sidecar.plugin.remote import Client

SIZE: Final = 20_000
BLOCK: Final = 4096
CONTENT: Final = bytes(range(250)) * (SIZE // 250)
PARTIAL: Final = b'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\n'
WHICH: Final = b"Content-Range: bytes 0-4095/20000\r\n"
FIRST: Final = CONTENT[:BLOCK]
LIES: Final = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
    "no status": b"HTTP/1.1 -01 What\r\n\r\n",
    "a long line": b"HTTP/1.1 206 " + b"x" * 100_000 + b"\r\n\r\n",
    "too many headers": PARTIAL + b"X: y\r\n" * 500 + b"\r\n",
    "another range": PARTIAL + b"Content-Range: bytes 5-4100/20000\r\nContent-Length: 4096\r\n\r\n" + FIRST,
    "a range backwards": PARTIAL + b"Content-Range: bytes 9-3/20000\r\nContent-Length: 0\r\n\r\n",
    "a range beyond the end": PARTIAL + b"Content-Range: bytes 0-4095/3\r\nContent-Length: 4096\r\n\r\n" + FIRST,
    "no range": PARTIAL + b"Content-Length: 4096\r\n\r\n" + FIRST,
    "too short": PARTIAL + WHICH + b"Content-Length: 4096\r\n\r\n" + FIRST[:100],
    "another length": PARTIAL + WHICH + b"Content-Length: 5\r\n\r\n" + FIRST,
    "two lengths": PARTIAL + WHICH + b"Content-Length: 4096\r\nContent-Length: 3\r\n\r\n" + FIRST,
    "a negative length": PARTIAL + WHICH + b"Content-Length: -5\r\n\r\n" + FIRST,
    "an absurd length": PARTIAL + WHICH + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + FIRST,
    "an absurd chunk": PARTIAL + WHICH + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "a negative chunk": PARTIAL + WHICH + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
    "compressed": PARTIAL + WHICH + b"Content-Encoding: gzip\r\nContent-Length: 4096\r\n\r\n" + FIRST,
    "no validator": b"HTTP/1.1 206 P\r\n" + WHICH + b"Content-Length: 4096\r\n\r\n" + FIRST,
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "nothing new, unasked": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "in a circle": b"HTTP/1.1 302 Found\r\nLocation: ?again\r\nContent-Length: 0\r\n\r\n",
    "to nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "to a broken host": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    "to a broken port": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:\xd9\xa1/\r\nContent-Length: 0\r\n\r\n",
    "an absurd pause": b"HTTP/1.1 503 Busy\r\nRetry-After: " + b"9" * 400 + b"\r\nContent-Length: 0\r\n\r\n",
    "an error without an end": b"HTTP/1.1 403 No\r\nContent-Length: 99999999\r\n\r\n" + b"A" * 100_000,
}
GOOD: Final = PARTIAL + WHICH + b"Content-Length: 4096\r\n\r\n" + FIRST
REST: Final = b"Content-Range: bytes 4096-8191/20000\r\nContent-Length: 4096\r\n\r\n" + CONTENT[4096:8192]
LATER: Final = {
    "another version": PARTIAL.replace(b'"a"', b'"b"') + REST,
    "another size": PARTIAL + REST.replace(b"/20000", b"/20001"),
    "another range": PARTIAL + REST.replace(b"4096-8191", b"4097-8192"),
    "gone": b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n",
    "all of it": b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 20000\r\n\r\n' + CONTENT,
    "too short": PARTIAL + REST[:-50],
    "garbage": b"\xff" * 900,
    "in a circle": LIES["in a circle"],
}

Origin = Callable[..., Source]


class Liar:
    """A server that answers each request with the next of its answers, and the last again and again."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = [*answers]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        while connection.recv(65536):
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            connection.sendall(answer)
            if answer is not GOOD:
                return


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Yield a function that makes the source of a server with the given answers."""
    liars: list[Liar] = []

    def make(*answers: bytes) -> Source:
        liars.append(Liar(*answers))
        given: dict[str, Any] = {
            "url_prefix": f"http://127.0.0.1:{liars[-1].port}/",
            "attempts": 1,
            "block_bytes": BLOCK,
            "max_request_bytes": BLOCK,
            "stall_timeout": 5.0,
        }
        (source,) = sidecar_http.register_sources(Config.of(HttpSettings.model_validate(given)))
        return source

    yield make
    for liar in liars:
        liar.close()


@pytest.mark.parametrize("lie", LIES)
def test_lies_when_the_file_is_found(origin: Origin, lie: str) -> None:
    """None of them is taken for a file, and none is an error of the sidecar or the plugin."""
    with pytest.raises(SourceError) as caught:
        origin(LIES[lie]).find("x.jp2")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("lie", LATER)
def test_lies_when_the_file_is_read(origin: Origin, lie: str) -> None:
    """A file that was found and then is another, or none, is an error of the storage too."""
    blob = origin(GOOD, LATER[lie]).find("x.jp2")
    assert blob is not None
    assert bytes(blob.read([ByteRange(0, 10)])[0]) == CONTENT[:10]
    with pytest.raises(SourceError) as caught:
        blob.read([ByteRange(5000, 5010)])
    assert isinstance(caught.value, SourceChanged) == (lie in ("another version", "another size", "gone"))


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked, whatever the name leads to a moment later."""
    liar = Liar(GOOD)
    asked: list[str] = []
    honest = gevent.socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **more: int) -> object:
        asked.append(host)
        return honest("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, **more)

    seen: list[str] = []
    monkeypatch.setattr(gevent.socket, "getaddrinfo", getaddrinfo)
    client = Client(HttpSettings(url_prefix="http://files.example/"), lambda _, address: seen.append(address))
    with client.get(f"http://files.example:{liar.port}/", {}) as response:
        assert response.read(BLOCK) == FIRST
    liar.close()
    assert asked == ["files.example"]
    assert {*seen} == {"127.0.0.1"}
