"""`make run`: it starts, shows pictures, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.nginx.peers import HOST, PATIENCE, Peer, ask
from tests.nginx.servers import REPOSITORY, listening, wait_for

# The environment is there, as these tests run in it; make shall not look whether it is up to date.
MAKE = ["make", "--assume-old=.venv/.plain", "run"]


def environment(**variables: str) -> dict[str, str]:
    """The environment of these tests without the settings of a sidecar or a demo."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "PORT", "MAKE"))}
    return {**kept, **variables}


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and those they started."""
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return set()
    return {*found, *(deeper for child in found for deeper in descendants(child))}


@dataclass
class Demo:
    """A demo under way."""

    process: subprocess.Popen[str]
    port: int
    said: str
    children: set[int]

    def left(self) -> list[int]:
        """Those of its processes that are still there."""
        return [pid for pid in self.children if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def demo(cantaloupe: Peer) -> Iterator[Demo]:
    """A demo on a free port, with a stand-in for Cantaloupe behind it."""
    variables = environment(PORT="0", CANTALOUPE=f"http://{HOST}:{cantaloupe.port}")
    with subprocess.Popen(
        MAKE,
        cwd=REPOSITORY,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C stops everything" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        port = int(re.findall(rf"http://{HOST}:(\d+)/", said)[0])
        yield Demo(process, port, said, descendants(process.pid))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    shutil.rmtree(REPOSITORY / ".run" / str(port))


def test_the_demo_shows_pictures_and_leaves_nothing(demo: Demo, cantaloupe: Peer) -> None:
    """Every URL it prints answers, what is not the sidecar's goes to Cantaloupe, and Ctrl-C ends every process."""
    urls = re.findall(rf"http://{HOST}:\d+(\S+)", demo.said)
    assert len(urls) == 8
    viewer = ask(demo.port, urls.pop(0))
    assert (viewer.status, viewer.headers["Location"]) == (302, "/sidecar/viewer")
    page = ask(demo.port, "/sidecar/viewer?id=nemo.jp2")
    assert page.status == 200
    assert all(name in page.text for name in ("nemo.jp2", "slide.svs", "/sidecar/cantaloupe/iiif/3/nemo.jp2"))
    assert ask(demo.port, "/sidecar/", headers={"Host": "elsewhere.example"}).status == 403
    for url in urls:
        answer = ask(demo.port, url)
        assert answer.status == 200
        if url.endswith(".jpg"):
            with Image.open(io.BytesIO(answer.body)) as picture:
                picture.load()
    assert cantaloupe.requests == []
    assert ask(demo.port, "/elsewhere").text == "cantaloupe's answer"
    assert ask(demo.port, "/iiif/3/nothing.jp2/info.json").text == "cantaloupe's answer"
    assert len(demo.left()) == len(demo.children) > 4
    os.killpg(demo.process.pid, signal.SIGINT)  # as the terminal does: to make and all it started in its group
    demo.process.wait(PATIENCE)
    wait_for(lambda: not demo.left(), "every process has ended")
    assert not listening(demo.port)


def test_the_demo_ends_when_a_server_dies(demo: Demo) -> None:
    """A server that is gone ends the demo with its last words, and the other server with it."""
    sidecar = next(pid for pid in demo.children if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(os.getpgid(sidecar), signal.SIGKILL)
    said, _ = demo.process.communicate(timeout=PATIENCE)
    assert "sidecar ended with status -9" in said
    assert demo.process.returncode != 0
    wait_for(lambda: not demo.left(), "every process has ended")


def test_a_taken_port_is_told() -> None:
    """If the port is taken, the message says so and how to choose another; nothing is started."""
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            MAKE, cwd=REPOSITORY, env=environment(PORT=str(port)), capture_output=True, text=True, check=False
        )
    assert done.returncode != 0
    assert f"Port {port}: Address already in use. Choose another: make run PORT={port + 1}" in done.stderr
