"""What a sandboxed process may still do: in processes of their own, as there is no way back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.errors import StartError
from sidecar.observability.logging import log
from sidecar.plugin import Folder
from sidecar.server import landlock, sandbox

needs_landlock = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")

CHILD = """
import ctypes, os, sqlite3, subprocess, sys, threading
from pathlib import Path
import numpy
from sidecar.plugin import Folder
from sidecar.server import sandbox

images, cache, secret = map(Path, sys.argv[1:4])
outside = os.open(secret, os.O_RDONLY)
sandbox.enter("required", [Folder(path=images), Folder(path=cache, writable=True)])
libc = ctypes.CDLL(None, use_errno=True)

def native(path, flags=os.O_RDONLY):
    found = libc.open(os.fsencode(path), flags, 0o600)
    return "ok" if found >= 0 else os.strerror(ctypes.get_errno())

def thread(path):
    told = []
    worker = threading.Thread(target=lambda: told.append(native(path)))
    worker.start()
    worker.join()
    return told[0]

def tried(call, *args):
    try:
        call(*args)
    except OSError as error:
        return error.strerror
    return "ok"

for line in (
"""


def child(lines: list[str], images: Path, cache: Path, secret: Path) -> list[str]:
    """What lines of code give in a sandboxed process."""
    code = f"{CHILD}{','.join(lines)},):\n    print(line)\n"
    command = [sys.executable, "-c", code, str(images), str(cache), str(secret)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not ended.returncode, ended.stderr
    return [line for line in ended.stdout.splitlines() if "sandboxed" not in line]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder to be read, with a link out of it, and a secret beside it."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "page.jp2").write_bytes(b"page")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link.jp2").symlink_to(tmp_path / "secret")
    return folder


@needs_landlock
def test_native_code_sees_the_folders_only(images: Path, tmp_path: Path) -> None:
    """C code, in threads started later too, reads below the folders; nothing else, by no link, and writes to none."""
    secret = tmp_path / "secret"
    lines = {
        "native(images / 'page.jp2')": "ok",
        "thread(images / 'page.jp2')": "ok",
        "native(images / 'link.jp2')": "Permission denied",
        "native(images / '../secret')": "Permission denied",
        "native(secret)": "Permission denied",
        "thread(secret)": "Permission denied",
        "native(f'/proc/self/fd/{outside}')": "Permission denied",
        "native(Path.home())": "Permission denied",
        "native('/etc/passwd')": "Permission denied",
        "native('/proc/1/environ')": "Permission denied",
        "native(images / 'page.jp2', os.O_WRONLY)": "Permission denied",
        "native(images / 'new.jp2', os.O_CREAT | os.O_WRONLY)": "Permission denied",
        "tried(os.unlink, images / 'page.jp2')": "Permission denied",
        "os.read(outside, 6).decode()": "secret",
    }
    assert child([*lines], images, tmp_path / "cache", secret) == [*lines.values()]


@needs_landlock
def test_no_programs_no_signals(images: Path, tmp_path: Path) -> None:
    """No program can be started, and no process outside is reached by a signal."""
    lines = {"tried(subprocess.run, ['/bin/true'])": "Permission denied"}
    if landlock.abi() >= landlock.SCOPES_ABI:
        lines["tried(os.kill, os.getppid(), 0)"] = "Operation not permitted"
    assert child([*lines], images, tmp_path / "cache", tmp_path / "secret") == [*lines.values()]


@needs_landlock
def test_what_goes_on_working(images: Path, tmp_path: Path) -> None:
    """A writable folder is made and takes a database; late imports, names of hosts, certificates and /dev work."""
    lines = {
        "sqlite3.connect(cache / 'new.sqlite').execute('CREATE TABLE t (a)').rowcount": "-1",
        "tried(os.link, cache / 'new.sqlite', cache / 'other.sqlite')": "ok",
        "tried(os.unlink, cache / 'other.sqlite')": "ok",
        "__import__('xml.sax.expatreader').__name__": "xml",
        "__import__('socket').getaddrinfo('localhost', 80)[0][4][0] in ('127.0.0.1', '::1')": "True",
        "__import__('ssl').create_default_context().verify_mode.name": "CERT_REQUIRED",
        "len(os.urandom(3)) + len(open('/dev/urandom', 'rb').read(3))": "6",
        "open('/dev/null', 'w').write('x')": "1",
        "float((numpy.ones((300, 300)) @ numpy.ones((300, 300)))[0, 0])": "300.0",
        "__import__('sidecar.iiif.uri').__name__": "sidecar",
    }
    assert child([*lines], images, tmp_path / "new" / "cache", tmp_path / "secret") == [*lines.values()]


@needs_landlock
def test_no_thread_stays_outside(images: Path, tmp_path: Path) -> None:
    """NumPy's own threads, which start when it is loaded, are gone when the sandbox is entered."""
    line = "len(os.listdir('/proc/self/task'))"
    assert child([line], images, tmp_path / "cache", tmp_path / "secret") == ["1"]


def test_kernels_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Landlock the worker starts and logs it; if a sandbox is required, it does not start, with a reason."""
    warned: list[str] = []
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(log, "warning", warned.append)
    sandbox.enter("auto", [])
    assert len(warned) == 1
    with pytest.raises(StartError, match="SIDECAR_SANDBOX"):
        sandbox.check("required")
    with pytest.raises(StartError, match="SIDECAR_SANDBOX"):
        sandbox.enter("required", [])


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off, nothing is asked of the kernel."""
    monkeypatch.setattr(landlock, "restrict", lambda _: pytest.fail("restricted"))
    sandbox.enter("off", [Folder(path=Path("/"))])


def test_folders_on_the_path_of_imports_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `sys.path` names may be a folder of anything, as the working directory: only loaded packages are read."""
    (tmp_path / "loaded_package").mkdir()
    (tmp_path / "loaded_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("loaded_package")
    paths = {folder.path for folder in sandbox.every_worker()}
    assert tmp_path not in paths
    assert tmp_path / "loaded_package" in paths
