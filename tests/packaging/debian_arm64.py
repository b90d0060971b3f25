"""Debian's packages for arm64, by an apt with folders of its own: it changes nothing here, and needs no root."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.packaging.roots import Unreached

SUITES: Final = ("bookworm", "trixie")
_LINE: Final = re.compile(r"^ *(?P<name>\S+) \| [^|]+\| \S+ (?P<suite>[a-z]+)/", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Apt:
    """An apt that knows the packages of some suites, for arm64."""

    folder: Path

    @classmethod
    def at(cls, folder: Path, suites: Iterable[str] = SUITES) -> Apt:
        """Return one whose files are in a folder, and let it look what there is. Raises Unreached."""
        for each in ("state/lists/partial", "cache/archives/partial"):
            (folder / each).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        sources = "".join(f"deb {_mirror()} {suite} main\n" for suite in suites)
        (folder / "sources.list").write_text(sources, encoding="utf-8")
        apt = cls(folder)
        done = apt.run("apt-get", "update", "--error-on=any")
        if done.returncode:
            raise Unreached(done.stderr.strip().splitlines()[-1])
        return apt

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of apt's programs. Raises Unreached if it is not there."""
        options = {
            "Dir::State": self.folder / "state",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        }
        command = [program, *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
        try:
            return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise Unreached("it takes apt") from error

    def suites(self, names: Sequence[str]) -> Mapping[str, set[str]]:
        """Return in which suites each package is."""
        lines = self.run("apt-cache", "madison", *names).stdout
        found: dict[str, set[str]] = {name: set() for name in names}
        for each in _LINE.finditer(lines):
            found[each["name"]].add(each["suite"])
        return found

    def extract(self, names: Sequence[str], root: Path) -> None:
        """Put the files of packages, and of all that they depend on, into a folder. Raises Unreached."""
        done = self.run("apt-get", "install", "--yes", "--no-install-recommends", "--download-only", *names)
        if done.returncode:
            raise Unreached(done.stderr.strip().splitlines()[-1])
        root.mkdir(parents=True, exist_ok=True)
        for package in sorted((self.folder / "cache" / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)


def _mirror() -> str:
    """Return where this system has Debian's packages from. Raises Unreached if it has none from there."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    except FileNotFoundError as error:
        raise Unreached("it takes apt") from error
    found = [
        uri for origin, label, uri in (line.rsplit(" ", 2) for line in lines) if (origin, label) == ("Debian",) * 2
    ]
    if not found:
        raise Unreached("apt has no packages of Debian's here, or `apt-get update` has not run")
    return found[0]
