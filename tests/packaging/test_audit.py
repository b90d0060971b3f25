"""The audit fails for a known vulnerability and for nothing else: pip-audit itself, against a service of our own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.nginx.servers import free_port
from tests.packaging.audit import rounds
from tests.packaging.lock import pins

LOCK = """numpy==2.4.6 ; python_version < "3.12" \\
    --hash=sha256:00
numpy==2.5.5 ; python_version >= "3.12" \\
    --hash=sha256:00
pillow==13.0.0 \\
    --hash=sha256:00
"""


class Osv(BaseHTTPRequestHandler):
    """An OSV service (https://google.github.io/osv.dev/post-v1-query/) that knows what a test says."""

    vulnerable: ClassVar[set[tuple[str, str]]] = set()
    status: ClassVar[int] = 200
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        """Answer a query."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        package = (query["package"]["name"], query["version"])
        type(self).asked.append(package)
        affected = {"package": {"ecosystem": "PyPI", "name": package[0]}, "ranges": [], "versions": [package[1]]}
        found: dict[str, Any] = {"id": "OSV-2026-1", "summary": "it bites", "aliases": [], "affected": [affected]}
        body = json.dumps({"vulns": [found]} if package in self.vulnerable else {}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def osv() -> Iterator[str]:
    """The service's URL; it knows no vulnerability so far."""
    Osv.vulnerable, Osv.status, Osv.asked = set(), 200, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def audit(url: str, folder: Path, text: str = LOCK) -> subprocess.CompletedProcess[str]:
    """Audit a lock file with the service at a URL."""
    lock = folder / "lock.txt"
    lock.write_text(text)
    command = [sys.executable, "-m", "tests.packaging.audit", str(lock)]
    environment = {"AUDIT_OSV_URL": url, "PATH": "", "HOME": str(folder), "no_proxy": "127.0.0.1"}
    return subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )


def test_nothing_known_is_well(osv: str, tmp_path: Path) -> None:
    """If the service knows nothing, the audit passes; every version is asked for, whatever Python gets it."""
    done = audit(osv, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 known vulnerabilities in 3 packages" in done.stdout
    assert sorted(Osv.asked) == [("numpy", "2.4.6"), ("numpy", "2.5.5"), ("pillow", "13.0.0")]


def test_a_known_vulnerability_fails(osv: str, tmp_path: Path) -> None:
    """A vulnerability of a version that only another Python gets is named, and the audit fails."""
    Osv.vulnerable = {("numpy", "2.5.5")}
    done = audit(osv, tmp_path)
    assert done.returncode == 1
    assert "numpy 2.5.5: OSV-2026-1, fixed in no version" in done.stdout


@pytest.mark.parametrize("status", [0, 500])
def test_data_out_of_reach_does_not_fail(osv: str, tmp_path: Path, status: int) -> None:
    """If nobody answers, or only with an error, the audit says that it was skipped, and passes."""
    Osv.status = status
    done = audit(osv if status else f"http://127.0.0.1:{free_port()}/v1/query", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "audit: SKIPPED" in done.stdout


def test_an_unreadable_lock_fails(osv: str, tmp_path: Path) -> None:
    """What cannot be audited because the lock file is wrong is not taken for data out of reach."""
    assert audit(osv, tmp_path, "pillow==13.0.0\n").returncode != 0
    assert audit(osv, tmp_path, "pillow @ https://example.org/x.whl --hash=sha256:00\n").returncode != 0


def test_a_package_is_once_in_a_round(tmp_path: Path) -> None:
    """Several versions of a package are asked for in several rounds."""
    (tmp_path / "lock.txt").write_text(LOCK)
    assert rounds(pins(tmp_path / "lock.txt")) == [{"numpy": "2.4.6", "pillow": "13.0.0"}, {"numpy": "2.5.5"}]
