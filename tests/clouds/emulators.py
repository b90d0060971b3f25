"""Servers of others that stand for clouds: Azurite, which is Microsoft's, and fake-gcs-server; see `make clouds`."""

from __future__ import annotations

import hmac
import os
import shutil
import signal
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from sidecar.testing.blob_store import shared_key
from sidecar.testing.object_store import Request
from tests.nginx.peers import HOST
from tests.nginx.servers import REPOSITORY, Process, free_port, listening, wait_for

_PATH: Final = os.environ.get("PATH", "")
AZURITE: Final = shutil.which("azurite-blob", path=f"{REPOSITORY / '.run/azurite/node_modules/.bin'}:{_PATH}")
FAKE_GCS_SERVER: Final = shutil.which("fake-gcs-server", path=f"{REPOSITORY / '.run'}:{_PATH}")
ACCOUNT: Final = "pictures"
KEY: Final = b64encode(b"a key of the account").decode()
_VERSION: Final = "2021-12-02"


def _send(port: int, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
    connection = HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        said = response.read()
        assert response.status < 300, (target, response.status, said)
    finally:
        connection.close()


@dataclass(frozen=True)
class Azurite:
    """Azurite with one account, whose key is KEY."""

    port: int

    @property
    def address(self) -> str:
        """The endpoint of the account."""
        return f"http://{HOST}:{self.port}/{ACCOUNT}"

    def make(self, container: str) -> None:
        """Make a container."""
        self._put(f"/{ACCOUNT}/{container}?restype=container", {}, b"")

    def put(self, key: str, body: bytes) -> None:
        """Store or replace a blob, by `container/name`."""
        self._put(f"/{ACCOUNT}/{quote(key, safe='/~')}", {"x-ms-blob-type": "BlockBlob"}, body)

    def sas(self, rights: str) -> str:
        """Return a signature for all blobs of the account ("Create an account SAS")."""
        end = "2100-01-01T00:00:00Z"
        text = f"{ACCOUNT}\n{rights}\nb\no\n\n{end}\n\n\n{_VERSION}\n\n"
        signature = b64encode(hmac.digest(b64decode(KEY), text.encode(), "sha256")).decode()
        return urlencode({"sv": _VERSION, "ss": "b", "srt": "o", "sp": rights, "se": end, "sig": signature})

    def _put(self, target: str, headers: Mapping[str, str], body: bytes) -> None:
        own = {"x-ms-version": _VERSION, "x-ms-date": formatdate(usegmt=True), **headers}
        counted = {**own, "content-length": str(len(body))} if body else own
        signature = shared_key(ACCOUNT, KEY, Request("PUT", target, counted, ("", 0)))
        _send(self.port, "PUT", target, {**own, "Authorization": f"SharedKey {ACCOUNT}:{signature}"}, body)


@dataclass(frozen=True)
class FakeGcsServer:
    """fake-gcs-server, which lets anybody do everything."""

    port: int

    @property
    def address(self) -> str:
        """The endpoint."""
        return f"http://{HOST}:{self.port}"

    def make(self, bucket: str) -> None:
        """Make a bucket."""
        json = {"Content-Type": "application/json"}
        _send(self.port, "POST", "/storage/v1/b?project=p", json, f'{{"name": "{bucket}"}}'.encode())

    def put(self, key: str, body: bytes) -> None:
        """Store or replace an object, by `bucket/name`."""
        bucket, _, name = key.partition("/")
        target = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        _send(self.port, "POST", target, {"Content-Type": "image/jp2"}, body)


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """Run Azurite, with what it stores in memory."""
    port = free_port()
    command = [str(AZURITE), "--blobHost", HOST, "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with _running([*command, "--disableTelemetry"], folder / "azurite.log", environment, port):
        yield Azurite(port)


@contextmanager
def fake_gcs_server(folder: Path) -> Iterator[FakeGcsServer]:
    """Run fake-gcs-server, with what it stores in memory."""
    port = free_port()
    command = [str(FAKE_GCS_SERVER), "-scheme", "http", "-host", HOST, "-port", str(port), "-backend", "memory"]
    with _running([*command, "-public-host", f"{HOST}:{port}"], folder / "gcs.log", os.environ, port):
        yield FakeGcsServer(port)


@contextmanager
def _running(command: list[str], log: Path, environment: Mapping[str, str], port: int) -> Iterator[None]:
    process = Process(command, log, environment)
    try:
        wait_for(lambda: listening(port) or not process.running, f"{command[0]} listens")
        assert process.running, log.read_text()
        yield
    finally:
        process.stop(signal.SIGTERM)
