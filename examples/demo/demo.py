"""`make run`: nginx and the sidecar on this machine, with images to look at; Ctrl-C stops both.

From the environment: PORT (0: any free one), CANTALOUPE, and every SIDECAR_* variable as the sidecar knows it.
All that is written lies in `.run`, each port's in a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlsplit

from sidecar.server.slots import addresses

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
RUN = REPOSITORY / ".run"
SUFFIXES = frozenset({"jp2", "jpx", "jpf", "j2k", "j2c", "jph", "svs", "ndpi", "vms", "scn", "mrxs", "svslide", "bif"})
"""Of images that a few URLs are printed of."""
HOST = "127.0.0.1"
SLOTS = ("127.1.0.1:8183", "127.1.0.2:8183")
"""Addresses of single workers in the shipped site."""
PATIENCE = 60.0
"""Seconds that starting may take."""


class Problem(Exception):
    """The demo cannot run; the text says what to do."""


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def chosen_port(text: str) -> int:
    """Return the port to serve on. Raises Problem if it is taken or invalid."""
    if not text.isdecimal() or int(text) > 65535:  # the largest port
        raise Problem(f"PORT={text} is not a port: give a number from 1 to 65535")
    port = int(text) or free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise Problem(f"Port {port}: {reason}. Choose another: make run PORT={port + 1}") from error
    return port


def program(name: str) -> str:
    """Return the path of a program; Debian keeps servers outside the PATH of ordinary users."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Problem(f"{name} is not installed: apt-get install nginx-light")
    return found


def samples() -> Path:
    """Return a folder with a JP2 and a whole-slide scan."""
    from glymur import data  # noqa: PLC0415  # with images of one's own, glymur's are not needed

    folder = RUN / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in {"nemo.jp2": lambda to: shutil.copy(data.nemo(), to), "slide.svs": make_slide}.items():
        if not (folder / name).exists():
            # A file that was interrupted while it was made is no image.
            half = folder / f"{name}.part"
            make(half)
            half.rename(folder / name)
    return folder


def make_slide(path: Path) -> None:
    """Make a slide; if the tools for that are missing, take the small one of the tests."""
    if find_spec("tifffile") and find_spec("imagecodecs"):
        say("Making a slide of 27 megapixels, once; this takes some ten seconds")
        size = ("--width", "6000", "--height", "4500")
        subprocess.run([sys.executable, "-m", "sidecar_openslide.sample", str(path), *size], check=True)  # noqa: S603
    else:
        shutil.copy(REPOSITORY / "tests" / "data" / "images" / "slide.svs", path)


def identifiers(folder: Path) -> list[str]:
    """Return a few images of a folder, as identifiers."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower().lstrip(".") in SUFFIXES)
    return sorted(str(path.relative_to(folder)) for path in islice(paths, 8))


def cantaloupe(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return scheme and address of the Cantaloupe to hand over to, or two empty texts."""
    url = environment.get("CANTALOUPE") or environment.get("SIDECAR_CANTALOUPE_URL", "")
    if not url:
        return "", ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise Problem(f"CANTALOUPE={url}: give it as http://host:port")
    return parts.scheme, f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def slots(bind: str, environment: Mapping[str, str]) -> list[str]:
    """Return where single workers will listen."""
    return addresses(bind, environment.get("SIDECAR_WORKER_BIND", ""), int(environment.get("SIDECAR_WORKERS") or 2))


def servers(those: Sequence[str]) -> str:
    """Return addresses of single workers as they stand in the site's files."""
    return "\n".join(f"    server {each} max_fails=0;" for each in those)


def lay_out(folder: Path, port: int, bind: str, environment: Mapping[str, str]) -> None:
    """Write nginx's configuration and the site's files."""
    site = folder / "sidecar"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(REPOSITORY / "nginx", site)
    upstream = (site / "sidecar.conf").read_text(encoding="utf-8").replace("127.0.0.1:8183", bind)
    upstream = upstream.replace(servers(SLOTS), servers(slots(bind, environment) or [bind]))
    (site / "sidecar.conf").write_text(upstream, encoding="utf-8")
    (folder / "temp").mkdir(exist_ok=True)
    scheme, address = cantaloupe(environment)
    if not address:
        # Without a Cantaloupe the sidecar must not promise in info.json what only a Cantaloupe can do.
        passing = site / "sidecar-pass.conf"
        text = passing.read_text(encoding="utf-8")
        passing.write_text(text.replace("X-Sidecar-Handover nginx;", "X-Sidecar-Handover none;"), encoding="utf-8")
    values = {
        # Workers of an nginx started by root would else become a user who may not read the checkout.
        "user": "user root;" if os.geteuid() == 0 else "",
        "port": str(port),
        "cantaloupe": address or bind,
        "scheme": scheme or "http",
    }
    text = (HERE / "demo.conf").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    (folder / "demo.conf").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Server:
    """A server that runs for the demo."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise Problem if it has ended, with its last lines."""
        if self.process.poll() is not None:
            last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
            raise Problem(
                "\n".join([f"{self.name} ended with status {self.process.returncode}. Its last lines:", *last])
            )


@contextmanager
def running(
    command: Sequence[str], log: Path, stop: signal.Signals, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run a server in a process group of its own; nothing of it is left afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own command
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        yield Server(log.stem, process, log)
    finally:
        process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def reachable(address: str) -> bool:
    """Report whether somebody listens on `host:port` or `unix:/path`."""
    path = address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    family, where = (socket.AF_UNIX, path) if path != address else (socket.AF_INET, (host, int(port)))
    with socket.socket(family) as probe:
        return probe.connect_ex(where) == 0


def wait_until_ready(servers: Sequence[Server], addresses: Sequence[str]) -> None:
    """Wait until every address is listened on. Raises Problem if a server ends before, or it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not all(map(reachable, addresses)):
        for server in servers:
            server.check()
        if time.monotonic() > deadline:
            raise Problem(f"not ready within {PATIENCE:.0f} seconds; see {', '.join(str(s.log) for s in servers)}")
        time.sleep(0.1)


def announce(port: int, images: Sequence[str], root: Path, folder: Path) -> None:
    """Print what to open."""
    base = f"http://{HOST}:{port}"
    say(f"\n  {base}/  a viewer for every image of the folder\n  {base}/sidecar/  what the sidecar does")
    for image in images[:2]:
        url = f"{base}/iiif/3/{quote(image, safe='')}"
        say(f"\n  {url}/info.json\n  {url}/square/pct:25/0/default.jpg\n  {url}/full/pct:25/0/default.jpg")
    if not images:
        say(f"\n  no image that the sidecar reads was found in {root}")
    say(f"\nLogs are in {folder}. Ctrl-C stops everything.")


def run(environment: Mapping[str, str]) -> None:
    """Start both, print where they are, and wait until one ends or the user stops them."""
    port = chosen_port(environment.get("PORT") or "8080")
    bind = environment.get("SIDECAR_BIND") or f"{HOST}:{free_port()}"
    root = Path(environment.get("SIDECAR_FILESYSTEM_ROOT") or samples())
    images = identifiers(root)
    folder = RUN / str(port)
    folder.mkdir(parents=True, exist_ok=True)
    lay_out(folder, port, bind, environment)
    nginx = [program("nginx"), "-p", str(folder), "-c", str(folder / "demo.conf"), "-e", "stderr", "-g", "daemon off;"]
    sidecar = [sys.executable, "-m", "sidecar", "serve"]
    own = {**environment, "SIDECAR_BIND": bind, "SIDECAR_FILESYSTEM_ROOT": str(root)}
    scheme, address = cantaloupe(environment)
    if address:
        own["SIDECAR_CANTALOUPE_URL"] = f"{scheme}://{address}"
    say("Starting nginx and the sidecar")
    with ExitStack() as started:
        servers = [
            started.enter_context(running(sidecar, folder / "sidecar.log", signal.SIGINT, own)),
            started.enter_context(running(nginx, folder / "nginx.log", signal.SIGTERM, environment)),
        ]
        wait_until_ready(servers, [bind, f"{HOST}:{port}"])
        announce(port, images, root, folder)
        while True:
            for server in servers:
                server.check()
            time.sleep(0.2)


def interrupt(*_: object) -> None:
    """Stop, once; a second signal must not keep the servers from being stopped."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo and return its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        run(os.environ)
    except KeyboardInterrupt:
        say("\nStopped.")
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
