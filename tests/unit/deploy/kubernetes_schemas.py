"""The schemas that kubeconform checks manifests with, in one file for each kind; `make kube` gets them through Go.

Kubernetes' own are in its OpenAPI document, those of KEDA and of Prometheus' operator in CustomResourceDefinitions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

KUBERNETES: Final = "k8s.io/kubernetes@v1.37.2"
DEFINITIONS: Final = (
    ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
)
PREFIX: Final = "#/definitions/"
LOOSE: Final[Mapping[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}
"""Types that the document describes as texts only."""
Schema = dict[str, Any]


def write(folder: Path) -> None:
    """Write a schema for each kind, under the name that kubeconform asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.loads((module(KUBERNETES) / "api/openapi-spec/swagger.json").read_text(encoding="utf-8"))
    for name, schema in (*kinds(document["definitions"]), *custom_kinds()):
        (folder / f"{name}.json").write_text(json.dumps(schema), encoding="utf-8")


def module(name: str) -> Path:
    """Return the folder of a Go module, downloaded if it is not there."""
    command = ["go", "mod", "download", "-json", name]
    done = subprocess.run(command, capture_output=True, check=True, cwd="/")
    return Path(json.loads(done.stdout)["Dir"])


def kinds(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield Kubernetes' own kinds, each with all that it refers to."""
    strict = {name: LOOSE.get(name) or closed(schema) for name, schema in definitions.items()}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ())[:1]:
            parts = (kind["kind"], kind["group"].split(".")[0], kind["version"])
            found = {each: strict[each] for each in reached(strict, name)}
            yield "-".join(filter(None, parts)).lower(), {"$ref": PREFIX + name, "definitions": found}


def custom_kinds() -> Iterator[tuple[str, Schema]]:
    """Yield the kinds of custom resources."""
    for name, path in DEFINITIONS:
        spec = yaml.safe_load((module(name) / path).read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            parts = (spec["names"]["kind"], spec["group"].split(".")[0], version["name"])
            yield "-".join(parts).lower(), closed(version["schema"]["openAPIV3Schema"])


def reached(definitions: Mapping[str, Any], first: str) -> set[str]:
    """Return the definitions that one leads to, itself included."""
    found, waiting = set[str](), [first]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += references(definitions[name])
    return found


def references(value: object) -> Iterator[str]:
    """Yield the names that a schema refers to."""
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            yield target.removeprefix(PREFIX)
        value = [*value.values()]
    for each in value if isinstance(value, list) else ():
        yield from references(each)


def closed(value: Any) -> Any:
    """Return a schema that allows no field which it does not name, as the API server has it with strict validation."""
    if isinstance(value, list):
        return [closed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: closed(each) for key, each in value.items()}
    if value.get("x-kubernetes-int-or-string") is True:
        found["type"] = ["string", "integer"]
    if isinstance(value.get("properties"), dict) and value.get("x-kubernetes-preserve-unknown-fields") is not True:
        found.setdefault("additionalProperties", False)
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]))
