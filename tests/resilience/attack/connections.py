"""Hostile connections: slow, silent, half closed, of other protocols, too many, never finished."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from sidecar.testing.fakes import gradient
from tests.resilience.attack.attack import Attack, Outcome, Setup
from tests.resilience.attack.ground import LARGE, TILE, Ground
from tests.resilience.attack.wire import connected, exchange, fetch, many, statuses

SLOW: Final = 200
DRIP: Final = 8.0
"""Seconds for which slow connections go on."""
GARBAGE: Final = 300
BODIES: Final = 2000
TLS: Final = bytes.fromhex("16030100c4010000c00303") + bytes(32) + bytes.fromhex("20") + bytes(160)
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
PROXY: Final = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"
WIDE: Final = "/iiif/3/large.czi/0,0,10000,6000/max/0/default.png"


def _request(target: str, *more: str) -> bytes:
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: x", *more, "", "")).encode()


def slowloris(ground: Ground) -> Outcome:
    """Send 200 requests to nginx and 200 to the sidecar, a byte every half second and never the end."""
    head = b"GET /iiif/3/tiled_512.jp2/info.json HTTP/1.1\r\nHost: x\r\n"
    with many(ground.port, SLOW, head) as one, many(ground.sidecar.port, SLOW, head) as other:
        ends, letters = time.monotonic() + DRIP, b"X-A: " + b"b" * 1000
        for letter in letters:
            if time.monotonic() > ends:
                break
            _each_sends(bytes([letter]), [*one, *other])
            time.sleep(0.5)
        direct = fetch(ground.sidecar.port, TILE, patience=10)
    faults = [] if direct.status == 200 else ["the sidecar itself answers nobody meanwhile"]
    return Outcome(len(one) + len(other), faults, "held open, without effect on others")


def _each_sends(data: bytes, clients: Iterable[socket.socket]) -> None:
    for client in clients:
        with suppress(OSError):
            client.send(data)


def garbage(ground: Ground) -> Outcome:
    """Send random bytes, TLS, HTTP/2 and PROXY headers to plain ports; reset half of the connections at once."""
    draw, bad = random.Random(2), []  # noqa: S311  # the same every time
    for turn in range(GARBAGE):
        port = (ground.port, ground.sidecar.port)[turn % 2]
        data = (TLS, PREFACE, PROXY + _request(TILE), draw.randbytes(draw.randrange(1, 5000)))[turn // 2 % 4]
        if turn % 3:
            bad += [status for status in statuses(exchange(port, data, 2.0, half_close=True)) if status >= 500]
            continue
        with suppress(OSError), connected(port) as client:
            client.sendall(data)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # nginx and gunicorn answer 505 to HTTP/2, which is what it is for (RFC 9110 §15.6.6).
    faults = [f"status {status}" for status in bad if status not in (501, 505)]
    return Outcome(GARBAGE, faults[:3], "refused or closed")


def half_closed(ground: Ground) -> Outcome:
    """Close the sending side after a whole request: what was asked for still comes, or the connection ends."""
    faults = []
    for turn in range(60):
        port = (ground.port, ground.sidecar.port)[turn % 2]
        came = exchange(port, _request(TILE, "Connection: close"), 10.0, half_close=True)
        if statuses(came) not in ([200], [503], []):
            faults.append(f"{statuses(came)}")
    for _ in range(20):
        with suppress(OSError), connected(ground.sidecar.port) as client:
            client.sendall(_request(LARGE))
            client.shutdown(socket.SHUT_WR)
    return Outcome(80, faults, "answered or closed, nothing kept")


def pipelined(ground: Ground) -> Outcome:
    """Send 100 requests at once on one connection, ten times, to nginx and to the sidecar."""
    wrong = []
    for turn in range(10):
        port = (ground.port, ground.sidecar.port)[turn % 2]
        data = _request("/iiif/3/tiled_512.jp2/info.json") * 99 + _request(TILE, "Connection: close")
        came = statuses(exchange(port, data, 20.0))
        if set(came) != {200}:
            wrong.append(f"{len(came)} answers, {sorted({*came})}")
    return Outcome(1000, wrong, "answered in order")


def oversize(ground: Ground) -> Outcome:
    """Send headers of 64 KB and of a megabyte, 10,000 headers, and lines of 100 KB."""
    faults = []
    sent = {
        "64 KB": _request(TILE, "X-A: " + "a" * 65536, "Connection: close"),
        "1 MB": _request(TILE, "X-A: " + "a" * (1 << 20), "Connection: close"),
        "10,000 headers": _request(TILE, *["A: b"] * 10_000, "Connection: close"),
        "a line of 100 KB": _request("/iiif/3/" + "a" * 100_000, "Connection: close"),
        "no end": b"GET " + b"a" * (1 << 20),
    }
    for name, data in sent.items():
        for port in (ground.port, ground.sidecar.port):
            came = statuses(exchange(port, data, 5.0))
            if came and came[0] not in (400, 413, 414, 431, 494):
                faults.append(f"{name}: {came}")
    return Outcome(2 * len(sent), faults, "refused")


def unfinished_bodies(ground: Ground) -> Outcome:
    """Promise 2,000 bodies of the sidecar itself, send none of them, and leave."""
    head = b"POST /iiif/3/tiled_512.jp2/info.json HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with many(ground.sidecar.port, BODIES, head) as clients:
        time.sleep(1.0)
        during = fetch(ground.sidecar.port, TILE, patience=10)
        count = len(clients)
    time.sleep(0.5)
    after = fetch(ground.sidecar.port, TILE, patience=10)
    faults = []
    if during.status != 200:
        faults.append("nobody else is answered meanwhile")
    if after.status != 200:
        faults.append("nobody is answered after they have left")
    return Outcome(count, faults, f"others answered in {during.seconds * 1000:.0f} ms")


def slow_readers(ground: Ground) -> Outcome:
    """Ask eight times for a large picture and read none of it; then ask for one as somebody else."""
    port = ground.port if ground.setup.edits else ground.sidecar.port
    # 60 megapixels: more than buffers between sockets hold.
    (ground.images / "large.czi").write_bytes(gradient(10_000, 6_000, tile=500) + b"none\n")
    faults, clients = [], []
    for number in range(8):
        with suppress(OSError):
            # From four addresses: what a client may have at once is not the point.
            clients.append(connected(port, source=f"127.0.0.{100 + number % 4}"))
            clients[-1].sendall(_request(WIDE, "Connection: close"))
    time.sleep(3.0)
    other = fetch(port, WIDE.replace(",6000", ",2000"), source="127.0.0.77", patience=25)
    if other.status != 200:
        faults.append(f"another client's large picture: {other.status or 'nothing within 25 s'}")
    for client in clients:
        client.close()
    return Outcome(len(clients), faults, f"another client has its large picture after {other.seconds:.1f} s")


ROOM: Final = Setup(trouble=True, memory=400_000_000)
ALONE: Final = Setup(toml='cantaloupe_url = "http://127.0.0.1:{cantaloupe}"\n')
UNBUFFERED: Final = (("sidecar-pass.conf", "proxy_max_temp_file_size 256m", "proxy_max_temp_file_size 0"),)
"""As an answer of more than 256 MB: what nginx does not take in waits for its client."""

ATTACKS: Final = (
    Attack("slowloris, 400 connections", "connections", "others are served", slowloris),
    Attack("garbage, TLS, HTTP/2 and PROXY on plain ports", "connections", "refused or closed", garbage),
    Attack("half-closed connections", "connections", "answered or closed", half_closed),
    Attack("pipelining, 100 requests at once", "connections", "answered in order", pipelined),
    Attack("oversize headers", "connections", "refused", oversize),
    Attack(
        "2,000 unfinished bodies, stand-alone", "places", "others are served, then and later", unfinished_bodies, ALONE
    ),
    Attack(
        "8 clients that read nothing, of the sidecar itself",
        "places",
        "a large picture for others",
        slow_readers,
        ROOM,
    ),
    Attack(
        "8 clients that read nothing, through nginx",
        "places",
        "a large picture for others",
        slow_readers,
        Setup(edits=UNBUFFERED, trouble=True, memory=400_000_000),
    ),
)
