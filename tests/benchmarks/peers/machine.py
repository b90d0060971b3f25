"""The machine that figures are of."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def machine() -> str:
    """Return processor, cores, memory and system in one line."""
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.+)$", about, re.MULTILINE)
    numbers = [re.search(rf"^{field}\s*: (.+)$", about, re.MULTILINE) for field in ("cpu family", "model")]
    family = ", ".join(
        f"{field} {found[1]}" for field, found in zip(("family", "model"), numbers, strict=True) if found
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    release = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return (
        f"{model[1] if model else platform.machine()} ({family}), {len(os.sched_getaffinity(0))} cores, "
        f"{pages:.0f} GiB, {release}, Linux {platform.release().partition('-')[0]}, nginx {nginx_version()}"
    )


def nginx_version() -> str:
    """Return the version of the nginx that stands before all peers."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True, env={"PATH": path}).stderr
    return said.rpartition("/")[2].split()[0]
