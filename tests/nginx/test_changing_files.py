"""A slide that changes while a real sidecar answers from it: the answer breaks off, and the next one is right."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sidecar.plugin import Pixels
from tests.nginx.peers import ask, slow_client
from tests.nginx.servers import Sidecar

SIDE = 2048
LAST = b"0\r\n\r\n"
"""What ends a chunked body (RFC 9112 §7.1)."""


def noise(seed: int) -> Pixels:
    """A picture that no encoder makes small."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def slide(seed: int) -> bytes:
    """A tiled TIFF; the same length for every seed."""
    file = io.BytesIO()
    tifffile.imwrite(file, noise(seed), tile=(256, 256), photometric="rgb", metadata=None)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served."""
    return tmp_path_factory.mktemp("changing")


@pytest.fixture(scope="module")
def sidecar(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar without nginx and Cantaloupe."""
    running = Sidecar(
        tmp_path_factory.mktemp("home"), f'workers = 1\ndrain_time = 0.1\n[filesystem]\nroot = "{folder}"\n'
    )
    yield running
    running.stop()


def overwrite(path: Path, content: bytes) -> None:
    """Write in place, and put the old time back."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path, content: bytes) -> None:
    """Put another file of the same time in its place."""
    fresh, status = path.with_suffix(".fresh"), path.stat()
    fresh.write_bytes(content)
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.replace(path)


@pytest.mark.parametrize("change", [overwrite, replace])
def test_change_during_an_answer(sidecar: Sidecar, folder: Path, change: Callable[[Path, bytes], None]) -> None:
    """An answer that has begun breaks off; the next one is whole, shows the new file, and has another ETag."""
    path = folder / "slide.tif"
    path.write_bytes(slide(1))
    target = "/iiif/3/slide.tif/full/max/0/default.png"
    before = ask(sidecar.port, target, "HEAD").headers["ETag"]
    with slow_client(sidecar.port, target, "Connection: close") as client:
        received = client.recv(1000)
        assert received.startswith(b"HTTP/1.1 200")
        change(path, slide(2))
        while chunk := client.recv(1 << 16):
            received += chunk
    assert not received.endswith(LAST)
    after = ask(sidecar.port, target)
    assert after.status == 200
    assert after.headers["ETag"] != before
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(after.body))), noise(2))
