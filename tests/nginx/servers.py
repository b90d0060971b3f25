"""Real servers under test: the sidecar as `sidecar serve` runs it, nginx with the site's own files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from string import Template
from typing import Self

from tests.nginx.peers import HOST, PATIENCE, ask

CONFIGURATION = """
$USER
daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    include sidecar/sidecar.conf;
    $HTTP
    server {
        listen 127.0.0.1:$PORT;
        include sidecar/sidecar-locations.conf;
        $HANDOVER
        location / { proxy_pass http://$CANTALOUPE; include sidecar/sidecar-headers.conf; }
        $SERVER
    }
}
"""
HANDOVER = """location @cantaloupe { proxy_pass http://$CANTALOUPE; include sidecar/sidecar-headers.conf; }"""
REPOSITORY = Path(__file__).parents[2]
SITE = REPOSITORY / "nginx"


SLOTS = ("127.1.0.1:8183", "127.1.0.2:8183")
"""Addresses of single workers, as shipped."""


def servers(addresses: Sequence[str]) -> str:
    """The lines of the shipped site for addresses of single workers."""
    return "\n".join(f"    server {each} max_fails=0;" for each in addresses)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:.0f} seconds: {what}")
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Whether connections are taken."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def children(pid: int) -> list[int]:
    """The process ids of what a process has started (proc(5))."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Process:
    """A server in a process group of its own, with its output in a file."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        limit: int = 0,
        held: socket.socket | None = None,
    ) -> None:
        """`limit`: of open files, if not that of the tests; `held`: a socket to pass on as systemd does."""
        self.log = log
        if limit:
            command = ["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh", *command]
        if held:
            passed = f'exec 3<&{held.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
            command = ["bash", "-c", passed, "bash", *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
                pass_fds=[held.fileno()] if held else [],
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The status that it ended with."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Of the master."""
        return self._process.pid

    def stop(self, number: signal.Signals) -> None:
        """End it and all it has started."""
        self._process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class NginxServer:
    """nginx with the configuration that lies in a folder."""

    def __init__(self, folder: Path, port: int, configuration: str) -> None:
        self.folder, self.port = folder, port
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "nginx.conf").write_text(configuration)

    @staticmethod
    def program() -> str:
        """The nginx that is installed."""
        found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert found, "nginx is not installed"
        return found

    @property
    def command(self) -> list[str]:
        """What starts it."""
        return [self.program(), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        self.process = Process(self.command, self.folder / "nginx.log")
        wait_for(lambda: listening(self.port) or not self.process.running, "nginx listens")
        assert self.process.running, self.process.log.read_text()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop at once."""
        self.process.stop(signal.SIGTERM)

    def reload(self) -> None:
        """Read the configuration again, as after an edit."""
        os.kill(self.process.pid, signal.SIGHUP)

    def workers(self) -> set[int]:
        """The process ids of its workers, those included that are about to end."""
        return {*children(self.process.pid)}


class Nginx(NginxServer):
    """nginx with the site's files in front of two ports."""

    def __init__(
        self,
        folder: Path,
        sidecar: int,
        cantaloupe: int,
        edits: Mapping[tuple[str, str], str] | None = None,
        include: Mapping[str, str] | None = None,
        handover: str = HANDOVER,
        slots: Sequence[str] = (),
    ) -> None:
        """`edits`: (file, old text) -> new text, as an operator would; `include`: `http` or `server` -> more lines.

        `handover`: the location for Cantaloupe; `slots`: addresses of single workers, if not those of the sidecar.
        """
        port = free_port()
        shutil.copytree(SITE, folder / "sidecar")
        workers = slots or [each.replace("8183", str(sidecar)) for each in SLOTS]
        upstream = {
            ("sidecar.conf", "127.0.0.1:8183"): f"{HOST}:{sidecar}",
            ("sidecar.conf", servers(SLOTS)): servers(workers),
        }
        for (name, old), new in {**upstream, **(edits or {})}.items():
            path = folder / "sidecar" / name
            text = path.read_text()
            assert old in text, f"{old!r} in {name}"
            path.write_text(text.replace(old, new))
        values = {
            "USER": "user root;" if os.geteuid() == 0 else "",
            "PORT": str(port),
            "CANTALOUPE": f"{HOST}:{cantaloupe}",
            "HANDOVER": handover.replace("$CANTALOUPE", f"{HOST}:{cantaloupe}"),
            **{name.upper(): lines for name, lines in {"http": "", "server": "", **(include or {})}.items()},
        }
        super().__init__(folder, port, Template(CONFIGURATION).substitute(values))


class Sidecar:
    """The sidecar, with the settings of a TOML file."""

    def __init__(
        self,
        folder: Path,
        toml: str,
        *,
        limit: int = 0,
        held: socket.socket | None = None,
        environment: Mapping[str, str] | None = None,
        also: str = "",
    ) -> None:
        """`limit`: of open files, if not that of the tests; `held`: a socket that somebody else has opened.

        `environment`: more variables; `also`: another address to listen at.
        """
        self.port = int(held.getsockname()[1]) if held else free_port()
        self._limit, self._held, self._variables = limit, held, environment or {}
        self._folder = folder
        bind = ",".join(filter(None, (f"{HOST}:{self.port}", also)))
        (folder / "sidecar.toml").write_text(f'bind = "{bind}"\n{toml}')
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers; one that does not is stopped."""
        self.launch()
        try:
            wait_for(lambda: self.healthy or not self.process.running, "the sidecar answers")
        except AssertionError:
            self.stop()
            raise
        assert self.process.running, self.process.log.read_text()

    def launch(self) -> None:
        """Start, and wait for nothing."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "OTEL_"))}
        environment |= self._variables
        command = [sys.executable, "-m", "sidecar", "serve", "--config", str(self._folder / "sidecar.toml")]
        log = self._folder / "sidecar.log"
        self.process = Process(command, log, environment, limit=self._limit, held=self._held)

    @property
    def healthy(self) -> bool:
        """Whether it reports that it can serve."""
        with suppress(OSError):
            return ask(self.port, "/sidecar/health").status == 200
        return False

    def stop(self) -> None:
        """Stop at once; do nothing if it is stopped."""
        if self.process.running:
            self.process.stop(signal.SIGINT)

    def metric(self, name: str) -> float:
        """A metric's value, summed over its labels."""
        answer = ask(self.port, "/sidecar/metrics")
        assert answer.status == 200
        lines = answer.text.splitlines()
        samples = [line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(value) for _, _, value in samples)

    @property
    def idle(self) -> bool:
        """Whether everything that requests take has been returned; asking for it is one request itself."""
        held = [
            self.metric(f"sidecar_{name}") for name in ("permits_bytes_in_use", "readers_leased", "permits_waiting")
        ]
        return held == [0.0] * len(held) and self.metric("sidecar_requests_in_flight") == 1

    def workers(self) -> list[int]:
        """The process ids of its workers, those included that are just being loaded."""
        return children(self.process.pid)

    def serves(self, workers: int) -> bool:
        """Whether so many workers, and no others, are there, each of them loaded."""
        with suppress(OSError, HTTPException):  # one that is killed answers nobody
            return len(self.workers()) == workers == self.metric("sidecar_workers")
        return False
