"""The SBOM names the wheels and what they need."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from zipfile import ZipFile

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.packaging import sbom
from tests.packaging.lock import FOLDER, pins

METADATA = """Metadata-Version: 2.4
Name: {name}
Version: 9.8.7
Summary: A part
License-Expression: MIT
Requires-Dist: numpy>=1.26
{more}
"""


def wheel(folder: Path, name: str, more: str) -> Path:
    """A wheel that has metadata and nothing else."""
    path = folder / f"{name.replace('-', '_')}-9.8.7-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("x-9.8.7.dist-info/METADATA", METADATA.format(name=name, more=more))
    return path


def test_the_sbom_names_wheels_and_what_they_need(tmp_path: Path) -> None:
    """It is valid CycloneDX, has every locked package with its hashes and every wheel with its own, and is stable."""
    core = wheel(tmp_path, "iiif-sidecar", "Requires-Dist: pytest>=8; extra == 'testing'")
    plugin = wheel(tmp_path, "iiif-sidecar-png", "Requires-Dist: iiif-sidecar>=0.2")
    sbom.main(tmp_path)
    (path,) = tmp_path.glob("*.cdx.json")
    text = path.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the validator's own libraries
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    content = json.loads(text)
    locked = {(pin.name, pin.version) for pin in pins(FOLDER / "runtime.txt")}
    listed = {(part["name"], part["version"]) for part in content["components"]}
    viewer = sbom.viewer()
    assert listed == locked | {("iiif-sidecar-png", "9.8.7"), ("openseadragon", viewer["version"])}
    hashed = {content["metadata"]["component"]["hashes"][0]["content"]}
    hashed |= {part["hashes"][0]["content"] for part in content["components"] if "hashes" in part}
    own = {hashlib.sha256(each.read_bytes()).hexdigest() for each in (core, plugin)}
    assert hashed == own | {viewer["hashes"][0]["content"]}
    needs = {each["ref"]: each.get("dependsOn", []) for each in content["dependencies"]}
    assert "pkg:pypi/iiif-sidecar@9.8.7" in needs["pkg:pypi/iiif-sidecar-png@9.8.7"]
    assert viewer["bom-ref"] in needs["pkg:pypi/iiif-sidecar@9.8.7"]
    assert len(needs["pkg:pypi/iiif-sidecar@9.8.7"]) == 1 + sum(name == "numpy" for name, _ in locked)
    sbom.main(tmp_path)
    assert path.read_text(encoding="utf-8") == text
