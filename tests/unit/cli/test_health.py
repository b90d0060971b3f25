"""`sidecar health`: its answer and its status, for each kind of address."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer, ThreadingUnixStreamServer
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from sidecar.cli.health import health, listener
from sidecar.errors import StartError

ANSWERS = {
    "/sidecar/health": (200, {"status": "ok"}),
    "/sidecar/ready": (503, {"status": "draining", "sources": {"filesystem": "readable"}}),
    "/sidecar/ready?sources=all": (
        503,
        {"status": "unreadable", "sources": {"s3": "source-timeout", "http": "readable"}},
    ),
}


class Answering(BaseHTTPRequestHandler):
    """Answers as a worker would."""

    def do_GET(self) -> None:
        status, said = ANSWERS[self.path]
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


class Six(ThreadingTCPServer):
    """Listens on IPv6."""

    address_family = socket.AF_INET6


@contextmanager
def served(server: Any) -> Iterator[None]:
    """Serve for a while."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def run(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run the command; return its status and what it prints."""
    app = typer.Typer()
    app.command()(health)
    done = CliRunner().invoke(app, [*arguments], env={"SIDECAR_CONFIG": None, "SIDECAR_BIND": None, **variables})
    return done.exit_code, done.output.strip()


@pytest.mark.parametrize("kind", ["127.0.0.1", "everywhere", "::1", "unix", "toml"])
def test_wherever_it_listens(kind: str, tmp_path: Path) -> None:
    """Addresses of IPv4 and IPv6, all addresses, and Unix sockets are asked, from a variable or a file."""
    server: Any
    if kind == "unix":
        bind, server = f"unix:{tmp_path / 'socket'}", ThreadingUnixStreamServer(str(tmp_path / "socket"), Answering)
    elif kind == "::1":
        server = Six(("::1", 0), Answering)
        bind = f"[::1]:{server.server_address[1]}"
    else:
        server = ThreadingTCPServer(("127.0.0.1", 0), Answering)
        host = {"everywhere": ""}.get(kind, "127.0.0.1")
        bind = f"{host}:{server.server_address[1]}"
    variables = {"SIDECAR_BIND": bind}
    if kind == "toml":
        # With a table of a plugin, which is not loaded.
        (tmp_path / "sidecar.toml").write_text(f'bind = "{bind}"\n[filesystem]\nroot = "/images"\n')
        variables = {"SIDECAR_CONFIG": str(tmp_path / "sidecar.toml")}
    with served(server):
        assert run(**variables) == (0, "ok")
        assert run("--ready", **variables) == (1, "draining")
        assert run("--sources", **variables) == (1, "unreadable, s3: source-timeout")
        assert run("--address", bind, SIDECAR_BIND="127.0.0.1:1") == (0, "ok")


def test_nobody_answers(tmp_path: Path) -> None:
    """A port that is closed, a socket that is missing and a server that never answers are each a line and status 1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        status, said = run("--timeout", "0.1", SIDECAR_BIND=address)
        assert (status, said) == (1, f"no answer at {address}: timed out")
    for bind in (address, f"unix:{tmp_path / 'none'}"):
        status, said = run(SIDECAR_BIND=bind)
        assert status == 1
        assert said.startswith(f"no answer at {bind}: ")


def test_an_address_that_can_be_asked() -> None:
    """Of several addresses the first that is known; a descriptor alone says none."""
    assert listener("fd://3, unix:/run/sidecar") == "unix:/run/sidecar"
    with pytest.raises(StartError, match="--address"):
        listener("fd://3")
