"""A real Redis or Valkey: entries with an end, rights, a full, a killed and a silent server, two processes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from sidecar.plugin import StartError
from sidecar.testing.object_store import ObjectStore

pytest.importorskip("redis", reason="redis-py is not installed")

from sidecar_jp2.store.back_end import ReadOnly, StoreError
from sidecar_jp2.store.redis_store import LIFETIME, PREFIX, RedisStore
from sidecar_jp2.testing import picture

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is installed")
PATIENCE = 30.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def server(*options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a server on loopback that keeps nothing on disk."""
    assert PROGRAM is not None
    port = free_port()
    command = [PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server for all that leave it as it is."""
    users = ("--user", "writer", "on", ">open sesame", "~*", "+@all", "--user", "reader", "on", ">look", "~*", "+@read")
    with server(*users) as (found, _):
        yield found


def test_an_entry_has_an_end(port: int) -> None:
    """What is stored comes back, whole or its beginning; it goes by itself, later each time it is read."""
    store = RedisStore(f"redis://127.0.0.1:{port}/1", PATIENCE)
    assert store.get("a", 100) is None
    store.put("a", bytes(range(200)))
    assert store.get("a", 300) == bytes(range(200))
    assert store.get("a", 3) == b"\0\1\2"
    client = store._client
    client.expire(PREFIX + "a", 100)
    store.get("a", 300)
    assert LIFETIME - 60 < client.ttl(PREFIX + "a") <= LIFETIME
    store.close()
    assert store.get("a", 3) == b"\0\1\2"
    store.close()


def test_users_and_their_rights(port: int) -> None:
    """User and password of the URL are used and not shown; who may only read does so."""
    writer = RedisStore(f"redis://writer:open%20sesame@127.0.0.1:{port}/0", PATIENCE)
    writer.put("a", b"data")
    assert writer.place == f"redis://127.0.0.1:{port}/0"
    reader = RedisStore(f"redis://reader:look@127.0.0.1:{port}/0", PATIENCE)
    assert reader.get("a", 10) == b"data"
    with pytest.raises(ReadOnly):
        reader.put("a", b"other")
    nobody = RedisStore(f"redis://reader:wrong@127.0.0.1:{port}/0", PATIENCE)
    with pytest.raises(StoreError) as raised:
        nobody.get("a", 10)
    assert "wrong@" not in str(raised.value)
    for store in (writer, reader, nobody):
        store.close()


def test_a_url_that_cannot_be(port: int) -> None:
    """What the library does not understand is an error at start."""
    with pytest.raises(StartError, match="SIDECAR_JP2_INDEX_URL"):
        RedisStore(f"redis://127.0.0.1:{port}/0?nonsense=1", PATIENCE)


def test_what_is_no_entry(port: int) -> None:
    """A key that somebody made a list is an error of the store, not a crash."""
    store = RedisStore(f"redis://127.0.0.1:{port}/0", PATIENCE)
    store._client.rpush(f"{PREFIX}list", "a")
    with pytest.raises(StoreError):
        store.get("list", 10)
    store.close()


def fill(store: RedisStore) -> None:
    """Store 12 MB."""
    for number in range(100):
        store.put(str(number), bytes(1 << 17))


def test_a_full_server() -> None:
    """A server without room takes nothing, and what it has is read."""
    with server("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as (full, _):
        store = RedisStore(f"redis://127.0.0.1:{full}/0", PATIENCE)
        store.put("a", b"data")
        with pytest.raises(StoreError):
            fill(store)
        assert store.get("a", 10) == b"data"
        store.close()


def test_a_killed_server() -> None:
    """A server that goes away is an error, at a kept connection and at a new one."""
    with server() as (port, process):
        store = RedisStore(f"redis://127.0.0.1:{port}/0", PATIENCE)
        store.put("a", b"data")
        process.kill()
        process.wait()
        for _ in range(2):
            with pytest.raises(StoreError):
                store.get("a", 10)
        store.close()


def test_what_is_not_redis() -> None:
    """Another server's answers are errors, too."""
    with ObjectStore() as other:
        store = RedisStore(other.url.replace("http", "redis"), 2)
        with pytest.raises(StoreError):
            store.get("a", 10)
        store.close()


SILENT = """
from gevent import monkey
monkey.patch_all()
import socket, sys, time
import gevent
from sidecar_jp2.store.redis_store import RedisStore
from sidecar_jp2.store.shared_store import SharedStore

silent = socket.create_server(("127.0.0.1", 0))  # it accepts, and never answers
store = SharedStore(RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", 30))
turns = 0

def others():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

beside = gevent.spawn(others)
assert [each.get() for each in [gevent.spawn(store.get, "a", 10) for _ in range(50)]] == [None] * 50
assert turns > 10, turns
before = turns
for _ in range(1000):
    assert store.get("a", 10) is None
assert turns == before  # nothing was waited for
beside.kill()
print("fine")
"""


def test_a_silent_server() -> None:
    """In a worker, requests wait for a silent server together and once; other greenlets go on meanwhile."""
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, check=False, timeout=100)
    assert done.stdout == b"fine\n", done.stderr.decode()


MACHINE = """
from gevent import monkey
monkey.patch_all()
import hashlib, sys
import sidecar_jp2, sidecar_s3
from sidecar_jp2.settings import Jp2Settings
from sidecar_s3.settings import S3Settings
from sidecar.plugin import Config, Rect, run_inline
from sidecar.testing.reading import read

origin, index = sys.argv[1:]
s3 = S3Settings(bucket="images", endpoint=origin, anonymous=True)
config = Config.of(s3, Jp2Settings(index_url=index, loss_db=0))
(source,) = sidecar_s3.register_sources(config)
(decoder,) = sidecar_jp2.register_decoders(config, run_inline)
blob = source.find("a.j2k")
pixels = read(decoder.open(blob), blob, 0, Rect(512, 512, 128, 128))
decoder.close()
source.close()
print(hashlib.sha256(pixels).hexdigest())
"""


def test_two_machines(port: int) -> None:
    """What one process has learned spares another one the walk: fewer requests, and the same pixels."""
    data = picture((1500, 1100), "-p", "RPCL", "-c", "[128,128],[64,64]", "-PLT", "-TP", "R", "-n", "5")
    found, asked = [], []
    with ObjectStore({"images/a.j2k": data}) as store:
        command = [sys.executable, "-c", MACHINE, store.url, f"redis://127.0.0.1:{port}/2"]
        for _ in range(2):
            before = len(store.requests)
            done = subprocess.run(command, capture_output=True, check=False, timeout=100)
            assert done.returncode == 0, done.stderr.decode()
            found.append(done.stdout)
            asked.append(len(store.requests) - before)
    assert found[0] == found[1]
    assert asked[1] < asked[0]
