"""The answer to connections that there is no place for.

gunicorn leaves them in the socket's queue, where nginx waits for them until its own timeout, and clients without nginx
for ever. A refusal is sent before anything is read, holds a descriptor for a tenth of a second at most, and needs no
memory to speak of.
"""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from typing import Final

_SECONDS: Final = 0.1
_READ: Final = 65536
_TEXT: Final = "503 Service Unavailable\n\ntoo many connections are open; try again later\n"
_ANSWER: Final = "\r\n".join(
    (
        "HTTP/1.1 503 Service Unavailable",
        "Connection: close",
        "Content-Type: text/plain;charset=utf-8",
        "Cache-Control: no-cache, must-revalidate",
        "Retry-After: 5",
        f"Content-Length: {len(_TEXT)}",
        "",
        _TEXT,
    )
).encode("ascii")


def refuse(client: socket.socket) -> None:
    """Answer a connection with 503 and close it, whatever it sends (RFC 9110 §15.6.4)."""
    with closing(client), suppress(OSError):
        client.settimeout(_SECONDS)
        client.sendall(_ANSWER)
        # A request left unread would make the kernel reset the connection, and the answer with it (RFC 9112 §9.6).
        client.shutdown(socket.SHUT_WR)
        client.recv(_READ)
