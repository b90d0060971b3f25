"""The system that the sidecar runs on: libraries, allocator, limits, other sidecars, sandbox, clock."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from sidecar import __version__
from sidecar.cli.console import size
from sidecar.cli.doctor.finding import Finding
from sidecar.config import Settings
from sidecar.errors import StartError
from sidecar.limits import memory_limit
from sidecar.observability.native_libraries import mapped, native_libraries
from sidecar.registry import Plugin
from sidecar.server import descriptors, landlock

_DISTRIBUTION: Final = "iiif-sidecar"
_ALLOCATORS: Final = re.compile(r"lib(jemalloc|mimalloc|tcmalloc)\b")
_LEAST_BUDGET: Final = 256 * 2**20
"""Bytes of a worker with less than which large responses are refused that people ask for."""
_CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")
_CLOCK_STATUS: Final = struct.Struct("@i4li")
"""The beginning of struct timex up to `status` (adjtimex(2)); `modes` 0 asks and changes nothing."""
_UNSYNCHRONIZED: Final = 0x40


def libraries(plugins: Iterable[Plugin]) -> Iterator[Finding]:
    """Yield the versions of what is installed; libraries of plugins count if they are loaded."""
    found = ", ".join(f"{each.name} {each.version}" for each in plugins)
    yield Finding("libraries", "ok", f"iiif-sidecar {__version__}, Python {platform.python_version()}")
    yield (
        Finding("libraries", "ok", f"plugins: {found}")
        if found
        else Finding(
            "libraries",
            "problem",
            "no plugin is installed",
            "pip install iiif-sidecar[all], or the plugins that you need",
        )
    )
    strangers = [each for each in plugins if each.version != __version__]
    for each in strangers:
        text = f"{each.package} is of version {each.version}, the sidecar of {__version__}"
        yield Finding("libraries", "warning", text, "install the same version of all, if it is one of ours")
    yield Finding("libraries", "ok", ", ".join(f"{name} {number}" for name, number in _required()))
    native = [f"{each.title} {each.version}".strip() + f" ({each.file})" for each in native_libraries()]
    if native:
        yield Finding("libraries", "ok", f"native: {', '.join(native)}")


def allocator(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Yield which allocator is in use, and whether `sidecar serve` may set it up."""
    others = sorted({path.name for path in mapped() if _ALLOCATORS.search(path.name)})
    if others:
        yield Finding("allocator", "ok", f"{', '.join(others)} is loaded in place of glibc's")
        return
    libc, number = platform.libc_ver()
    if libc != "glibc":
        text = f"the C library is {libc or 'not glibc'}, whose allocator may keep memory, or be slow with threads"
        yield Finding("allocator", "warning", text, "measure memory under load, or run on a distribution with glibc")
        return
    own = {name: environment[name] for name in memory_limit.ALLOCATOR if name in environment}
    text = f"glibc {number}, set up by `sidecar serve`"
    yield Finding("allocator", "ok", text + (f"; from the environment: {_pairs(own)}" if own else ""))


def limits(settings: Settings) -> Iterator[Finding]:
    """Yield how many files, how much memory and how many processors there are, and what becomes of them."""
    yield _files(settings)
    total = memory_limit.total()
    budget = memory_limit.budget(settings.memory_bytes, settings.workers, settings.kept_bytes)
    text = f"{size(total)} of memory (the least of machine and cgroups), {size(budget)} for the responses of each of "
    text += f"{settings.workers} workers"
    if budget * settings.workers > total:
        remedy = "lower SIDECAR_MEMORY_BYTES or SIDECAR_WORKERS"
        yield Finding("limits", "problem", f"{text}: more than there is", remedy)
    elif budget < _LEAST_BUDGET:
        remedy = "give the service more memory, or lower SIDECAR_WORKERS"
        yield Finding("limits", "warning", f"{text}: large responses will be refused with 413", remedy)
    else:
        yield Finding("limits", "ok", text)
    if killed := memory_limit.oom_kills():
        text = f"the kernel has killed {killed} processes of this cgroup for lack of memory"
        yield Finding("limits", "warning", text, "lower SIDECAR_MEMORY_BYTES; see docs/operate/memory.md")
    yield _processors(settings)


def _files(settings: Settings) -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    try:
        warning = descriptors.shared_out(settings, hard).warning
    except StartError as error:
        return Finding("limits", "problem", str(error), "raise it: LimitNOFILE= of the service, or `ulimit -Hn`")
    if warning:
        return Finding("limits", "warning", warning, "raise it: LimitNOFILE= of the service, or `ulimit -Hn`")
    return Finding("limits", "ok", f"open files: up to {shown}, a worker needs {descriptors.needed(settings):,}")


def _processors(settings: Settings) -> Finding:
    count, quota = len(os.sched_getaffinity(0)), _quota()
    text = f"{count} processors, {settings.workers} workers with {settings.native_threads} native threads each"
    if quota and quota < count:
        remedy = "bind the service to as many processors as its quota (CPUAffinity=, --cpuset-cpus)"
        return Finding("limits", "warning", f"{text}; a quota of {quota:g} processors holds all of them up", remedy)
    if settings.workers > 2 * count:
        return Finding("limits", "warning", text, "lower SIDECAR_WORKERS: one for each processor is enough")
    return Finding("limits", "ok", text)


def _quota() -> float:
    """Return the processors that the cgroup allows; 0 if it does not limit them (cgroup v2, cpu.max)."""
    with suppress(OSError, ValueError):
        most, period = _CPU_MAX.read_text(encoding="ascii").split()
        return int(most) / int(period)
    return 0.0


def fleet(settings: Settings, fitting: int) -> Iterator[Finding]:
    """Yield what sidecars that answer for the same URLs have to agree on: `fitting` pixels follow from the memory."""
    if settings.max_pixels is None:
        text = f"the largest response, {fitting:,} pixels, follows from the memory, and ETags depend on it: if "
        text += f"machines with other memory answer for the same URLs, set SIDECAR_MAX_PIXELS={fitting} on all"
    else:
        text = f"the largest response is set to {settings.max_pixels:,} pixels: ETags do not depend on the memory"
    yield Finding("fleet", "ok", text)


def sandbox(settings: Settings) -> Iterator[Finding]:
    """Yield whether workers are sandboxed."""
    version_found = landlock.abi()
    if settings.sandbox == "off":
        remedy = "leave SIDECAR_SANDBOX at `auto`"
        yield Finding("sandbox", "warning", "SIDECAR_SANDBOX is off: workers may read and write all files", remedy)
    elif version_found:
        yield Finding(
            "sandbox", "ok", f"Landlock ABI {version_found}: workers see image roots, caches and libraries only"
        )
    else:
        state: Finding = Finding(
            "sandbox",
            "problem" if settings.sandbox == "required" else "warning",
            "this kernel has no Landlock, or it is not allowed here: workers see all files of their user",
            "run Linux 5.13 or later with lsm=landlock,… and let the container's seccomp profile pass it",
        )
        yield state


def clock() -> Iterator[Finding]:
    """Yield whether something keeps the clock right: S3 refuses requests that are 15 minutes off."""
    status = _clock_status()
    if status is None:
        yield Finding(
            "clock", "warning", "this system does not say whether its clock is kept right", "run an NTP client"
        )
    elif status & _UNSYNCHRONIZED:
        remedy = "run an NTP client such as chrony or systemd-timesyncd (on the host, if this is a container)"
        yield Finding("clock", "warning", "nothing keeps the clock right", remedy)
    else:
        yield Finding("clock", "ok", "kept right by NTP or the like")


def _clock_status() -> int | None:
    buffer = ctypes.create_string_buffer(512)
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) >= 0:
            return int(_CLOCK_STATUS.unpack_from(buffer)[-1])
    return None


def user() -> Iterator[Finding]:
    """Yield who runs this."""
    if os.geteuid() == 0:
        text = "this is root, who may read and write everything: rights are not examined"
        yield Finding("rights", "warning", text, "run `sidecar doctor` and `sidecar serve` as the user of the service")


def _required() -> Iterator[tuple[str, str]]:
    for line in requires(_DISTRIBUTION) or ():
        if "extra ==" not in line:
            name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
            with suppress(PackageNotFoundError):
                yield name, version(name)


def _pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
