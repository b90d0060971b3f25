"""The lock files in `requirements/`, read: what is pinned, to which versions and hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER: Final = Path(__file__).parents[2] / "requirements"
PYTHONS: Final = ("3.11", "3.12", "3.13")
"""Those of Debian 12, Ubuntu 24.04 and Debian 13."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A version of a package, for the Pythons and systems that its marker names."""

    requirement: Requirement
    hashes: Sequence[str]
    """SHA-256 of every file of this version."""

    @property
    def name(self) -> str:
        """The package's name, as registries write it."""
        return str(canonicalize_name(self.requirement.name))

    @property
    def version(self) -> str:
        """The version."""
        (found,) = self.requirement.specifier
        return str(found.version)


def pins(path: Path) -> Iterator[Pin]:
    """Yield what a lock file pins. Raises ValueError for anything else in it."""
    text = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split(" --hash=")
        algorithms = {each.partition(":")[0] for each in hashes}
        if algorithms != {"sha256"}:
            raise ValueError(f"{path.name}: {requirement.strip()} has no hashes, or not of SHA-256")
        yield Pin(Requirement(requirement.strip()), [each.partition(":")[2].strip() for each in hashes])
