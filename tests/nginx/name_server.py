"""A name server under the tests' control: SRV records of a service, and the addresses of its hosts (RFC 1035, 2782)."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tests.nginx.peers import HOST

_A, _SRV, _INTERNET = 1, 33, 1
_ANSWER, _NO_SUCH_NAME = 0x8180, 0x8183
_HEADER: Final = struct.Struct("!6H")
_TTL: Final = 1


class NameServer:
    """Answers for a service of `hosts`: name -> address; over UDP, on a free port of this machine."""

    def __init__(self, service: str, port: int) -> None:
        """`service`: as `_http._tcp.sidecar.test`; `port`: that of every host."""
        self.hosts: Mapping[str, str] = {}
        self._service, self._port = service, port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.address = f"{HOST}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Begin to answer."""
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Answer no more."""
        self._socket.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                query, client = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        name, end = _name(query, _HEADER.size)
        (kind,) = struct.unpack_from("!H", query, end)
        question = query[_HEADER.size : end + 4]
        hosts = self.hosts
        known = name == self._service or name in hosts
        records = []
        if name == self._service and kind == _SRV:
            # Weights as CoreDNS makes them for Kubernetes: 100 among all.
            fixed = struct.pack("!3H", 0, 100 // max(len(hosts), 1), self._port)
            records = [fixed + _wire(each) for each in hosts]
        elif name in hosts and kind == _A:
            records = [socket.inet_aton(hosts[name])]
        head = _HEADER.pack(
            *struct.unpack_from("!H", query), _ANSWER if known else _NO_SUCH_NAME, 1, len(records), 0, 0
        )
        answers = (_wire(name) + struct.pack("!HHIH", kind, _INTERNET, _TTL, len(each)) + each for each in records)
        return head + question + b"".join(answers)


def _name(message: bytes, at: int) -> tuple[str, int]:
    """A name without pointers, and what comes after it."""
    labels = []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    return ".".join(labels), at + 1


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0"
