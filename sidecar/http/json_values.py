"""What the tools found out as JSON: fields by name, facts as one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeAlias

from sidecar.plugin import Fact

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def as_json(value: object) -> Json:
    """Return a value as what `json.dumps` writes: frozen dataclasses, facts, mappings, sequences and plain values."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if is_dataclass(value):
        return {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        if value and all(isinstance(each, Fact) for each in value):
            return {fact.name: fact.value for fact in value}
        return [as_json(each) for each in value]
    return str(value)
