"""Sandboxed workers of a real sidecar: everything works as before, and native code of a plugin finds nothing else."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from sidecar.server import landlock
from sidecar.testing.object_store import ObjectStore
from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Nginx, Process, Sidecar, free_port, wait_for

pytestmark = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")

SPY = '''
"""A source that finds nothing, and reports what C code may open: the identifier is the path."""
import ctypes, os, sys
from sidecar.plugin import hookimpl
SIDECAR_API = 1

class Spy:
    name = "spy"
    def __init__(self, native):
        self.native = native
    def find(self, identifier):
        if identifier.startswith("/"):
            self.native(self.open, identifier)
    def open(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        found = libc.open(os.fsencode(path), os.O_RDONLY)
        what = "opened" if found >= 0 else os.strerror(ctypes.get_errno())
        print("spy", path, what, file=sys.stderr, flush=True)

@hookimpl
def register_sources(config, native):
    return [Spy(native)]
'''
SECRETS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@pytest.fixture(scope="module")
def bucket(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ObjectStore, Path]]:
    """A bucket behind TLS, and the file with its certificate, which is for a host's name."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=server -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    page = (images / "tiny_60x40.jp2").read_bytes()
    with ObjectStore({"bucket/far.jp2": page}, secrets=SECRETS, tls=context) as store:
        yield store, folder / "cert.pem"


@pytest.fixture(scope="module")
def home(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the sidecar with a folder of images, a plugin that spies, and a secret."""
    folder = tmp_path_factory.mktemp("sandbox")
    root = folder / "images"
    root.mkdir()
    for image in ("tiled_512.jp2", "slide.svs", "icc.jp2"):
        (root / image).write_bytes((images / image).read_bytes())
    (folder / "secret").write_bytes(b"secret")
    (folder / "plugin" / "spy-1.dist-info").mkdir(parents=True)
    (folder / "plugin" / "spy.py").write_text(SPY)
    (folder / "plugin" / "spy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n")
    (folder / "plugin" / "spy-1.dist-info" / "entry_points.txt").write_text("[sidecar]\nspy = spy\n")
    return folder


@pytest.fixture(scope="module")
def sidecar(home: Path, bucket: tuple[ObjectStore, Path]) -> Iterator[Sidecar]:
    """A sidecar that does not start without a sandbox."""
    store, certificate = bucket
    ((key, secret),) = SECRETS.items()
    endpoint = store.url.replace(HOST, "localhost")
    toml = (
        f'workers = 1\nsandbox = "required"\ndrain_time = 0.1\n[filesystem]\nroot = "{home}/images"\n'
        f'[jp2]\nindex_folder = "{home}/indexes"\n'
        f'[s3]\nbucket = "bucket"\nendpoint = "{endpoint}"\naccess_key_id = "{key}"\nsecret_key = "{secret}"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{home / 'plugin'}:{os.environ.get('PYTHONPATH', '')}")
        patch.setenv("SSL_CERT_FILE", str(certificate))
        running = Sidecar(home, toml)
    yield running
    running.stop()
    assert "Traceback" not in running.process.log.read_text()


def opened(sidecar: Sidecar, path: Path | str) -> str:
    """What came of it when native code of a worker opened a path."""
    ask(sidecar.port, "/iiif/3/" + str(path).replace("/", "%2F") + "/info.json")
    lines = [line for line in sidecar.process.log.read_text().splitlines() if line.startswith(f"spy {path} ")]
    return lines[-1].removeprefix(f"spy {path} ")


def test_native_code_of_a_plugin(sidecar: Sidecar, home: Path) -> None:
    """Native code in a worker opens images; the kernel refuses files beside the root, settings, and those of users."""
    assert opened(sidecar, home / "images" / "icc.jp2") == "opened"
    for path in (home / "secret", home / "sidecar.toml", "/etc/passwd", "/proc/1/environ", home / "images/../secret"):
        assert opened(sidecar, path) == "Permission denied"


def test_images_of_all_kinds(sidecar: Sidecar, home: Path) -> None:
    """JPEG 2000 with a cache of indexes, profiles, slides, and a bucket behind TLS and a host's name are answered."""
    for target in (
        "tiled_512.jp2/512,512,512,512/256,/0/default.jpg",
        "icc.jp2/full/64,/0/default.png",
        "slide.svs/0,0,256,256/256,/0/default.jpg",
        "slide.svs/full/max/0/default.png",
        "far.jp2/full/max/0/default.jpg",
    ):
        answer = ask(sidecar.port, f"/iiif/3/{target}")
        assert answer.status == 200, f"{target}: {answer.text[:200]}"
    assert [*(home / "indexes").iterdir()]


def test_metrics_and_health(sidecar: Sidecar) -> None:
    """Metrics of all workers are summed up from the folder that they share."""
    ask(sidecar.port, "/iiif/3/icc.jp2/info.json")
    assert sidecar.metric("sidecar_requests_total") >= 1
    assert sidecar.healthy


def test_reload(sidecar: Sidecar, home: Path) -> None:
    """The master is not sandboxed: after a reload its new workers start, work, and are sandboxed again."""
    before = sidecar.workers()
    os.kill(sidecar.process.pid, signal.SIGHUP)
    wait_for(lambda: len(sidecar.workers()) == 1 and before != sidecar.workers() and sidecar.healthy, "a new worker")
    assert ask(sidecar.port, "/iiif/3/icc.jp2/info.json").status == 200
    assert opened(sidecar, home / "secret") == "Permission denied"


def test_unix_socket_behind_nginx(home: Path, tmp_path: Path) -> None:
    """A sidecar on a Unix socket is reached by nginx, and leaves no socket behind."""
    path = tmp_path / "s"
    (tmp_path / "site").mkdir()
    toml = f'bind = "unix:{path}"\nsandbox = "required"\nworkers = 1\n[filesystem]\nroot = "{home}/images"\n'
    (tmp_path / "sidecar.toml").write_text(toml)
    command = [sys.executable, "-m", "sidecar", "serve", "--config", str(tmp_path / "sidecar.toml")]
    port = free_port()
    edits = {("sidecar.conf", f"{HOST}:{port}"): f"unix:{path}"}
    running = Process(command, tmp_path / "sidecar.log")
    try:
        with Nginx(tmp_path / "site", port, free_port(), edits) as nginx:
            tile = "/iiif/3/icc.jp2/full/64,/0/default.jpg"
            wait_for(lambda: path.exists() and ask(nginx.port, tile).status == HTTPStatus.OK, "an answer")
    finally:
        running.stop(signal.SIGTERM)
    assert "sandboxed" in running.log.read_text()
    assert not path.exists()
