"""The sandbox of a worker: native decoders read files of anybody, and what takes one of them over finds nothing else.

Once everything is loaded, a worker gives up all files but those it needs: the plugins' folders (image roots, caches),
installed libraries, what the system's resolver and TLS read, the folder that workers share. It can start no program,
signal no other process, and never gets the rights back (`landlock`). What is open stays open.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final, Literal, TypeAlias

from gevent.monkey import get_original

from sidecar.errors import StartError
from sidecar.observability.logging import log
from sidecar.observability.otel_variables import FILES
from sidecar.plugin import Folder
from sidecar.server import landlock
from sidecar.server.landlock import READ, WRITE, Rule

Mode: TypeAlias = Literal["auto", "off", "required"]

_SYSTEM: Final = (
    # Libraries that are loaded late, time zones, certificates.
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib"),
    *("/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/localtime"),
    # Names and addresses: resolver(5), nsswitch.conf(5), gai.conf(5), and where resolv.conf leads to.
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services"),
    *("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf", "/run/nscd"),
    # Memory, processors, cgroups. Of other processes /proc shows names, and nothing that ptrace(2) would be needed for.
    *("/proc", "/sys/fs/cgroup", "/sys/devices/system", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
)
_SYSTEM_WRITABLE: Final = ("/dev/null",)
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", *FILES)
"""Variables of OpenSSL and OpenTelemetry."""
_TASKS: Final = Path("/proc/self/task")


def check(mode: Mode) -> None:
    """Raise StartError if a sandbox is required that this system cannot make."""
    if mode == "required" and not landlock.abi():
        raise StartError("SIDECAR_SANDBOX: this kernel has no Landlock (Linux 5.13 or later), or it is not allowed")


def enter(mode: Mode, folders: Iterable[Folder]) -> None:
    """Restrict this process to the folders and to what every worker needs; for good. Raises StartError.

    Called when everything is loaded, and before threads are started: on kernels before ABI 8 a thread that runs already
    would stay outside.
    """
    check(mode)
    if mode == "off":
        return
    version = landlock.abi()
    if not version:
        log.warning("this worker is not sandboxed: the kernel has no Landlock")
        return
    _end_idle_threads()
    outside = _threads() - 1
    if outside and version < landlock.TSYNC_ABI and mode == "required":
        raise StartError(f"SIDECAR_SANDBOX: {outside} threads run already, which this kernel cannot restrict")
    try:
        landlock.restrict(_rules(folders))
    except OSError as error:
        if mode == "required":
            raise StartError(f"SIDECAR_SANDBOX: {error}") from error
        log.warning("this worker is not sandboxed", error=str(error))
        return
    log.info("sandboxed", abi=version, outside=outside if version < landlock.TSYNC_ABI else 0)


def _rules(folders: Iterable[Folder]) -> Iterator[Rule]:
    for folder in chain(folders, every_worker()):
        path = Path(os.path.realpath(folder.path))
        if folder.writable:
            _make(path)
        if os.access(path, os.F_OK):
            yield Rule(path, WRITE if folder.writable else READ)


def _make(path: Path) -> None:
    with suppress(FileExistsError):  # it may be a file
        try:
            path.mkdir(mode=0o700, parents=True)
        except OSError as error:
            if not isinstance(error, FileExistsError):
                log.warning("a folder cannot be made", folder=str(path), error=error.strerror)


def every_worker() -> Iterator[Folder]:
    """Return what every worker needs, whatever its plugins."""
    yield from (Folder(path=path) for path in (*map(Path, _SYSTEM), *_libraries()))
    yield from (Folder(path=Path(path), writable=True) for path in _SYSTEM_WRITABLE)
    yield from (Folder(path=Path(found)) for name in _CERTIFICATES if (found := os.environ.get(name)))


def _libraries() -> Iterator[Path]:
    """Return where Python and the loaded packages are; a folder on `sys.path` may hold anything, so none is taken."""
    yield from map(Path, (sys.prefix, sys.base_prefix, sys.exec_prefix))
    yield from (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    for name, module in [*sys.modules.items()]:
        if "." not in name:
            places = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
            yield from (Path(place) for place in places if isinstance(place, str))


def _end_idle_threads() -> None:
    """Let OpenBLAS, which NumPy loads, end its threads: it does so before a fork, and starts new ones on demand."""
    if _threads() > 1:
        # Not gevent's, which would bring the event loop to the child.
        child = get_original("os", "fork")()
        if not child:
            os._exit(0)
        get_original("os", "waitpid")(child, 0)


def _threads() -> int:
    with suppress(OSError):
        return len([*_TASKS.iterdir()])
    return 1
