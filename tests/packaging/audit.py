"""`make audit`: known vulnerabilities of what the lock files name, as pip-audit finds them.

    python -m tests.packaging.audit requirements/dev.txt

Asks the Python Packaging Advisory Database, or the OSV service whose URL is in AUDIT_OSV_URL. The status is 1 if a
vulnerability is known or pip-audit fails, and 0 if the data cannot be reached, which says nothing about this project.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.packaging.lock import Pin, pins

UNREACHED: Final = ("requests.exceptions.", "ServiceError", "vulnerability feed", "not redirecting properly")
"""What pip-audit's errors have in common if its data could not be reached; its status is the same for all."""
SECONDS: Final = "15"
"""How long pip-audit waits for a response."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What came of the question."""

    vulnerable: Sequence[str]
    audited: int
    """Packages that data was found for."""
    unknown: Sequence[str]
    """Packages that the service does not know."""


class Unreached(Exception):
    """The data could not be reached."""


def rounds(found: Iterable[Pin]) -> Sequence[Mapping[str, str]]:
    """Return names with versions, without markers: what another Python or system gets is audited too.

    A package that is pinned to several versions has one of them in each round, for pip-audit refuses to see it twice.
    """
    made: list[dict[str, str]] = []
    for pin in found:
        free = next((names for names in made if pin.name not in names), None)
        if free is None:
            free = {}
            made.append(free)
        free[pin.name] = pin.version
    return made


def audit(names: Mapping[str, str], service: Sequence[str]) -> Findings:
    """Let pip-audit look the packages up. Raises Unreached; RuntimeError if it fails for another reason."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("".join(f"{name}=={version}\n" for name, version in names.items()), encoding="utf-8")
        options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", SECONDS]
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(listed), *options, *service]
        done = subprocess.run([*command, "--cache-dir", f"{folder}/cache"], capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        if any(sign in done.stderr for sign in UNREACHED):
            raise Unreached(done.stderr.strip().splitlines()[-1])
        raise RuntimeError(f"pip-audit ended with status {done.returncode}:\n{done.stderr}")
    packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    unknown = [str(package["name"]) for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        raise Unreached("the service knows none of the packages")
    return Findings([*vulnerable(packages)], len(packages) - len(unknown), unknown)


def vulnerable(packages: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each vulnerability."""
    for package in packages:
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def main(paths: Sequence[str]) -> int:
    """Audit the lock files and return the status."""
    url = os.environ.get("AUDIT_OSV_URL", "")
    service = ["--vulnerability-service", "osv", "--osv-url", url] if url else []
    try:
        found = [audit(names, service) for names in rounds(pin for path in paths for pin in pins(Path(path)))]
    except Unreached as reason:
        say(f"audit: SKIPPED, the data on vulnerabilities cannot be reached: {reason}")
        return 0
    lines = [line for findings in found for line in findings.vulnerable]
    unknown = [name for findings in found for name in findings.unknown]
    for line in lines:
        say(f"audit: {line}")
    if unknown:
        say(f"audit: without data: {', '.join(unknown)}")
    say(f"audit: {len(lines)} known vulnerabilities in {sum(findings.audited for findings in found)} packages")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
