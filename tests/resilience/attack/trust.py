"""Who is believed: headers, origins, addresses, proxies; and what is told to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import Final

from sidecar.config import Settings
from sidecar.remote.private_addresses import is_private
from sidecar.testing.object_store import Mischief, ObjectStore, Reply
from tests.nginx.servers import Sidecar
from tests.resilience.attack.attack import Attack, Outcome, Setup
from tests.resilience.attack.ground import DATA, TILE, Ground
from tests.resilience.attack.wire import fetch

PRIVATE: Final = (
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1"),
    *("255.255.255.255", "192.0.0.1", "198.18.0.1", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1"),
    *("fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "::127.0.0.1", "::7f00:1"),
    *(
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
    ),
    *("2001:0:7f00:1::", "2001:db8::1", "100::1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "5f00::1"),
)
"""RFC 6890 and what carries IPv4 inside: RFC 4291 §2.5.5, RFC 6052, RFC 8215, RFC 3056, RFC 2765; RFC 3879."""
PUBLIC: Final = ("93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::8.8.8.8")
SECRETS: Final = ("s3cr3t-query", "s3cr3t-bearer", "s3cr3t-cookie", "s3cr3t-basic", "s3cr3t-user")
INFO: Final = "/iiif/3/tiled_512.jp2/info.json"
ORIGIN: Final = """[http]
url_prefix = "{url}/images/"
attempts = 1
freshness = 0
timeout = 3
stall_timeout = 2
cache_bytes = 0
"""


# Where the setting is there: nginx connects from 127.0.0.1, attackers come from other addresses of loopback.
STRANGERS: Final = Setup(toml='trusted_proxies = ["127.0.0.1"]\n' if "trusted_proxies" in Settings.model_fields else "")


def handovers(ground: Ground) -> Outcome:
    """Claim to be nginx on the sidecar's own port, from an address that is none of the proxies'."""
    # nginx is at 127.0.0.1; the attacker, at 127.0.0.66, is not.
    faults, tries = [], 0
    forged = (
        {"X-Sidecar-Handover": "nginx"},
        {"X-Sidecar-Handover": "nginx", "X-Forwarded-For": "127.0.0.1"},
        {"X-SIDECAR-HANDOVER": "nginx", "Forwarded": "for=127.0.0.1;by=127.0.0.1"},
    )
    for headers, target in product(
        forged, ("/iiif/3/none.jp2/info.json", "/iiif/3/tiled_512.jp2/full/max/33/default.jpg")
    ):
        tries += 1
        reply = ground.ask(target, ground.sidecar.port, headers)
        if reply.status == 200 and not reply.body:
            faults.append("an empty 200")
        if "x-accel-redirect" in reply.headers or reply.status == 421:
            faults.append("a handover for a client")
    for name, value in {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Path": "/evil",
    }.items():
        tries += 1
        reply = ground.ask(INFO, ground.sidecar.port, {name: value})
        if b"evil" in reply.body or (reply.status == 200 and b'"id":"https:' in reply.body.replace(b" ", b"")):
            faults.append(f"{name} is believed of a stranger")
    return Outcome(tries, sorted({*faults}), "not believed")


def balancers(ground: Ground) -> Outcome:
    """Forge forwarding headers through nginx, as if from a balancer that it does not know."""
    faults, tries = [], 0
    chains: tuple[dict[str, str], ...] = (
        {"X-Forwarded-For": "127.0.0.1, 10.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {},
    )
    for chain, (name, value) in product(
        chains, {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "666"}.items()
    ):
        tries += 1
        reply = ground.ask(INFO, headers={**chain, name: value})
        found = json.loads(reply.body).get("id", "") if reply.status == 200 else ""
        if found.startswith("https:") or "evil" in found or ":666" in found:
            faults.append(f"{name} gives {found}")
    return Outcome(tries, faults, "not believed")


def addresses(ground: Ground) -> Outcome:
    """Check every form that leads to a private address, and some public ones."""
    del ground
    faults = [f"{address} counts as public" for address in PRIVATE if not is_private(address)]
    faults += [f"{address} counts as private" for address in PUBLIC if is_private(address)]
    return Outcome(len(PRIVATE) + len(PUBLIC), faults, "all known")


@contextmanager
def origin(ground: Ground) -> Iterator[tuple[ObjectStore, int]]:
    """Run a sidecar whose files lie on a server that lies; yield the server and the sidecar's port."""
    content = (DATA / "tiled_512.jp2").read_bytes()
    home = ground.home / "origin"
    home.mkdir(exist_ok=True)
    with ObjectStore({"images/a.jp2": content}) as store:
        text = ground.toml().partition("[filesystem]")[0] + ORIGIN.format(url=store.url)
        sidecar = Sidecar(home, text)
        try:
            yield store, sidecar.port
        finally:
            sidecar.stop()


def _with(headers: dict[str, str], status: int = 206) -> Mischief:
    return lambda _, reply: replace(reply, status=status, headers={**reply.headers, **headers})


LIES: Final[dict[str, Mischief]] = {
    "another range": _with({"Content-Range": "bytes 5-100/448374"}),
    "a range without end": _with({"Content-Range": "bytes 0-99999999999999999999/*"}),
    "no range": _with({"Content-Range": ""}),
    "an encoding": _with({"Content-Encoding": "gzip"}),
    "too long": _with({"Content-Length": "99999999"}),
    "negative": _with({"Content-Length": "-5"}),
    "no length": _with({"Content-Length": "x" * 500}),
    "all of it": _with({}, 200),
    "an empty 200": lambda _, __: Reply(200, {"ETag": '"a"'}),
    "half": lambda _, reply: replace(reply, cut=len(reply.body) // 2),
    "other bytes": lambda _, reply: replace(reply, body=bytes(len(reply.body))),
    "a page": lambda _, __: Reply(200, {"Content-Type": "text/html", "ETag": '"a"'}, b"<html>log in</html>" * 9),
    "500": lambda _, __: Reply(500, {}, b"<Error><Code>InternalError</Code></Error>"),
    "503 for a year": lambda _, __: Reply(503, {"Retry-After": "31536000"}),
    "a status of none": lambda _, __: Reply(299, {}, b"x"),
    "a redirect home": lambda _, __: Reply(302, {"Location": "http://127.0.0.1:9/a.jp2"}),
    "a redirect in a circle": lambda request, _: Reply(302, {"Location": request.target}),
    "a redirect to a file": lambda _, __: Reply(302, {"Location": "file:///etc/passwd"}),
    "a redirect to nonsense": lambda _, __: Reply(302, {"Location": "http://[::1"}),
    "headers without end": _with({f"X-{number}": "y" * 500 for number in range(300)}),
    "a tag of 60 KB": _with({"ETag": f'"{"e" * 60_000}"'}),
    "a date of nonsense": _with({"Last-Modified": "Mon, 99 Zzz 99999 99:99:99 GMT"}),
}


CONSISTENT: Final = frozenset({"all of it", "an empty 200", "other bytes", "a page"})
"""What is an object in order, but no picture."""


def lying_origins(ground: Ground) -> Outcome:
    """Let an origin lie in 22 ways about one image; what is answered is 502, 504, 404 or the right picture."""
    faults = []
    content = (DATA / "tiled_512.jp2").read_bytes()
    with origin(ground) as (store, port):
        truth = ground.ask("/iiif/3/a.jp2/0,0,99,99/max/0/default.png", port).body
        for number, (name, lie) in enumerate(LIES.items()):
            # An object for each lie: what one says of an object is remembered for a while.
            store.put(f"images/{number}.jp2", content)
            store.mischief = lie
            for rest in ("0,0,99,99/max/0/default.png", "info.json"):
                target = f"/iiif/3/{number}.jp2/{rest}"
                reply = ground.ask(target, port, patience=15)
                reason = reply.headers.get("x-sidecar-reason", "")
                wrong = reply.kind == "image/png" and reply.body != truth
                said = (200, 404, 500, 501, 502, 504) if name in CONSISTENT else (200, 404, 502, 504)
                said = (*said, 500) if reason == "decode" else said
                if reply.status not in said or reason in ("crash", "plugin") or wrong:
                    faults.append(f"{name}: {reply.status or 'no answer'} {reason}".strip())
                if store.url.removeprefix("http://") in reply.text:
                    faults.append(f"{name}: the text names the inner host")
    return Outcome(2 * len(LIES), sorted({*faults}), "502, 504 or the right picture")


def secrets(ground: Ground) -> Outcome:
    """Send secrets in queries, headers and user names, to images, errors and handovers; look for them in the logs."""
    query, bearer, cookie, basic, user = SECRETS
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Cookie": f"session={cookie}",
        "Proxy-Authorization": f"Basic {basic}",
    }
    targets = (TILE, INFO, "/iiif/3/none.jp2/info.json", "/iiif/3/tiled_512.jp2/no", "/iiif/3/tiled_512.jp2")
    tries = 0
    for target, port in product(targets, (ground.port, ground.sidecar.port)):
        for name in ("token", "access_token", "X-Amz-Signature"):
            tries += 1
            fetch(port, f"{target}?{name}={query}", headers=headers)
        fetch(port, f"http://{user}:x@host{target}")
    nginx = ground.nginx.process.log.read_text(errors="replace")
    faults = [
        f"{secret} in the log of {name}"
        for name, log in {"the sidecar": ground.log, "nginx": nginx}.items()
        for secret in SECRETS
        if secret in log
    ]
    return Outcome(tries, faults, "none in the logs")


ATTACKS: Final = (
    Attack("forged handover and forwarding headers, own port", "trust", "not believed", handovers, STRANGERS),
    Attack("forged forwarding headers through nginx", "trust", "not believed", balancers),
    Attack("private addresses in 37 forms", "trust", "none counts as public", addresses),
    Attack("an origin that lies in 22 ways", "trust", "502, never a crash, nothing wrong", lying_origins),
    Attack("secrets in queries and headers", "trust", "none in the logs", secrets),
)
