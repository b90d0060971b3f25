"""Requests that are none, or two in the clothes of one."""

from __future__ import annotations

import random
from itertools import product
from typing import Final

from tests.fuzz.mutation import scattered
from tests.nginx.test_hostile import FRAMINGS, MARK, REFUSED, SMUGGLED
from tests.resilience.attack.attack import Attack, Outcome
from tests.resilience.attack.ground import Ground
from tests.resilience.attack.wire import exchange, statuses

INFO: Final = "/iiif/3/tiled_512.jp2/info.json"
PIXELS: Final = "/iiif/3/tiled_512.jp2/0,0,64,64/64,/0/default.jpg"
ODD: Final = 1500
FAILURES: Final = (500, 502, 504)
BETWEEN: Final = 6.0
"""Seconds that an answer to a whole request may take at most."""
WORDS: Final = (
    *(b"GET ", b"HEAD ", b"POST ", b"PUT ", b"\r\n", b"\r\n\r\n", b"\n", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0"),
    *(b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Upgrade: h2c"),
    *(b"Range: bytes=0-1", b"Connection: close", b"%00", b"%2F", b"..", b"/iiif/3/", b"\0", b"\xff", b"X" * 9000),
    *(b"If-None-Match: *", b"If-Modified-Since: x", b"Cookie: " + b"a=b;" * 3000, b"Accept-Encoding: gzip", b"0\r\n"),
)


def refused(ground: Ground) -> Outcome:
    """Send what is known to be no request, and 1,500 requests changed at random, to nginx and to the sidecar."""
    draw, faults = random.Random(1), []  # noqa: S311  # the same every time
    whole = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    known = [request for request, _ in REFUSED.values()] + [whole % INFO.encode(), whole % PIXELS.encode()]
    before = ground.log.count("Traceback")
    sent = [*known, *(scattered(draw, known, WORDS) for _ in range(ODD))]
    for turn, data in enumerate(sent):
        port = (ground.port, ground.sidecar.port)[turn % 2]
        # The end of what is sent is the end of patience: an unfinished request is left at once.
        came = exchange(port, data, BETWEEN, half_close=True)
        bad = [status for status in statuses(came) if status in FAILURES]
        if bad:
            faults.append(f"{bad[0]} to {data[:60]!r}")
    if ground.log.count("Traceback") > before:
        faults.append("a traceback in the log")
    return Outcome(len(sent), faults[:5], "refused, or answered as far as they were requests")


def smuggling(ground: Ground) -> Outcome:
    """Send requests whose length can be read in two ways, with another one behind, each alone and twice in a row."""
    faults, tries = [], 0
    for (name, framing), method, port in product(
        FRAMINGS.items(), (b"GET", b"POST", b"HEAD"), (ground.port, ground.sidecar.port)
    ):
        tries += 1
        head = method + f" {INFO} HTTP/1.1\r\nHost: x\r\n".encode() + framing + b"Connection: close\r\n\r\n"
        came = exchange(port, head + b"0\r\n\r\n" + SMUGGLED)
        if len(statuses(came)) != 1 or statuses(came)[0] not in (200, 400, 405, 501):
            faults.append(f"{name}: {statuses(came)}")
        if MARK in [request.target for request in ground.cantaloupe.requests]:
            faults.append(f"{name}: two requests out of one")
    return Outcome(tries, faults[:5], "none was two requests")


def injection(ground: Ground) -> Outcome:
    """Try to add headers and to choose the host of URLs, by line ends, hosts and forwarding headers."""
    faults, tries = [], 0
    ends = ("%0d%0aX-Injected:%20yes", "?%0d%0aX-Injected:%20yes", "%E5%98%8A%E5%98%8DX-Injected:%20yes")
    for end, base in product(ends, ("/iiif/3/tiled_512.jp2", INFO, PIXELS)):
        for port in (ground.port, ground.sidecar.port):
            tries += 1
            if "x-injected" in ground.ask(base + end, port).headers:
                faults.append(f"{end} adds a header")
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Path": "/evil",
        "X-Forwarded-Port": "666",
        "X-Forwarded-ID": "evil.jp2",
        "X-Original-URL": "/evil",
        "Forwarded": "host=evil.example",
        "X-Accel-Redirect": "@cantaloupe",
    }
    for name, value in forged.items():
        for target in ("/iiif/3/tiled_512.jp2", INFO, PIXELS):
            tries += 1
            reply = ground.ask(target, headers={name: value})
            if "evil" in str(reply.headers) or b"evil" in reply.body[:5000] or ":666" in str(reply.headers):
                faults.append(f"{name} gets into the answer of {target}")
    return Outcome(tries, faults, "no header added, no host chosen")


ATTACKS: Final = (
    Attack("bad requests, 1,500 of them changed at random", "requests", "400 or the like, no traceback", refused),
    Attack("request smuggling, 12 framings", "requests", "one answer, nothing smuggled", smuggling),
    Attack("headers injected, hosts forged", "requests", "no header, no host gets through nginx", injection),
)
