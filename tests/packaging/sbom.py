"""The SBOM beside the wheels: what they are, and what they need at run time, in CycloneDX.

    python -m tests.packaging.sbom dist

writes `dist/iiif-sidecar-VERSION.cdx.json`. cyclonedx-py makes it of the lock file; added are the wheels with their
hashes, the viewer that lies in one of them, and which of them needs what. What packages of others need among themselves
is not in it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "requirements" / "runtime.txt"
MAIN: Final = "iiif-sidecar"
Component = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A built wheel."""

    path: Path
    metadata: Message

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read a wheel's metadata."""
        with ZipFile(path) as archive:
            (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            return cls(path, BytesParser().parsebytes(archive.read(name)))

    @property
    def name(self) -> str:
        """The distribution's name."""
        return str(canonicalize_name(str(self.metadata["Name"])))

    @property
    def purl(self) -> str:
        """The distribution's package URL."""
        return f"pkg:pypi/{self.name}@{self.metadata['Version']}"

    @property
    def needs(self) -> Sequence[str]:
        """The names of what it needs, extras left out."""
        wanted = map(Requirement, self.metadata.get_all("Requires-Dist", ()))
        return sorted({str(canonicalize_name(each.name)) for each in wanted if "extra" not in str(each.marker or "")})

    def component(self) -> Component:
        """Return the wheel as CycloneDX describes it."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {
            "type": "application" if self.name == MAIN else "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.metadata["Version"],
            "description": self.metadata["Summary"],
            "licenses": [{"license": {"id": self.metadata["License-Expression"]}}],
            "purl": self.purl,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }


def locked() -> dict[str, Any]:
    """Return cyclonedx-py's own SBOM of the lock file, the same each time."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON"]
    # What is written is validated in the tests.
    command.append("--no-validate")
    made = subprocess.run(
        [*command, "--output-file", "-", str(LOCK)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    content: dict[str, Any] = json.loads(made.stdout)
    for component in content["components"]:
        # A line of the lock file; its hashes are in externalReferences.
        del component["description"]
    return content


def viewer() -> Component:
    """Return OpenSeadragon, which lies in the core's wheel as it comes from npm (`.ci/openseadragon`)."""
    content = (ROOT / "sidecar" / "http" / "static" / "openseadragon.min.js").read_bytes()
    version = content.partition(b"\n")[0].split()[-1].decode("ascii")
    return {
        "type": "library",
        "bom-ref": f"pkg:npm/openseadragon@{version}",
        "name": "openseadragon",
        "version": version,
        "licenses": [{"license": {"id": "BSD-3-Clause"}}],
        "purl": f"pkg:npm/openseadragon@{version}",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
    }


def completed(content: Mapping[str, Any], wheels: Sequence[Wheel]) -> Mapping[str, Any]:
    """Return the SBOM with the wheels in it."""
    (main,) = (wheel for wheel in wheels if wheel.name == MAIN)
    others = [wheel for wheel in wheels if wheel is not main]
    components = [*content["components"], *(wheel.component() for wheel in others), viewer()]
    references: dict[str, list[str]] = {}
    for component in [main.component(), *components]:
        references.setdefault(canonicalize_name(component["name"]), []).append(component["bom-ref"])
    needed = [
        {"ref": wheel.purl, "dependsOn": sorted(ref for name in _parts(wheel) for ref in references[name])}
        for wheel in wheels
    ]
    own = {wheel.purl for wheel in wheels}
    rest = [each for each in content["dependencies"] if each["ref"] not in own]
    metadata = {**content["metadata"], "component": main.component()}
    return {**content, "metadata": metadata, "components": components, "dependencies": [*needed, *rest]}


def _parts(wheel: Wheel) -> Sequence[str]:
    return [*wheel.needs, *(["openseadragon"] if wheel.name == MAIN else [])]


def main(folder: Path) -> None:
    """Write the SBOM of the wheels in a folder."""
    wheels = [Wheel.read(path) for path in sorted(folder.glob("*.whl"))]
    content = completed(locked(), wheels)
    version = content["metadata"]["component"]["version"]
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / f"{MAIN}-{version}.cdx.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
