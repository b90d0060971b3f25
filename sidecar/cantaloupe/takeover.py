"""What the sidecar takes over from a Cantaloupe's configuration, and what it reports of the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sidecar.cantaloupe import delegate_script, readings
from sidecar.cantaloupe.delegate_script import DelegateScript
from sidecar.cantaloupe.keys import FOREIGN, NAMED, SOURCE_KEY, TAKEN, WATCHED, Watched
from sidecar.cantaloupe.properties import Properties, load
from sidecar.cantaloupe.readings import class_name
from sidecar.config import EXTENTS, Extent, Values
from sidecar.plugin import FromCantaloupe, Section

_SECRET: Final = ("secret", "secret_key", "password", "account_key")


@dataclass(frozen=True, slots=True)
class Note:
    """A key that the sidecar does not honour, for the operator."""

    key: str
    value: str
    """As it stands in the configuration; secrets are left out."""
    text: str
    hand_over: Extent = ""
    """The requests that Cantaloupe answers because of it."""

    def __str__(self) -> str:
        """Return one line for the log."""
        effect = f"; handed over: {self.hand_over}" if self.hand_over else ""
        return f"{self.key} = {self.value}: {self.text}{effect}"


@dataclass(frozen=True, slots=True)
class Takeover:
    """A Cantaloupe's configuration in the sidecar's terms."""

    values: Values
    """For `config.load`, below all other layers; `guarded` and `hand_over` are among them."""
    notes: Sequence[Note]
    guarded: str = ""
    """Why images may be guarded: `key = value`; empty if nothing suggests it. A delegate written in Java is found by
    Cantaloupe on its class path and does not show here."""
    hand_over: Extent = ""
    """The requests that must be Cantaloupe's for the responses to be right, guarded or not."""
    script: DelegateScript | None = None
    """The delegate script that is in use, if any."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A setting, the key that it comes from and the reading of it."""

    section: type[Section]
    name: str
    key: str
    read: Callable[[Properties, str], object]
    plain: bool = False
    """Whether it means nothing if a script looks images up."""


def read(path: Path, sections: Iterable[type[Section]], environment: Mapping[str, str] = os.environ) -> Takeover:
    """Read Cantaloupe's file under its environment. `sections` are the settings that exist: the core's and plugins'.

    Cantaloupe's variables (`DELEGATE_SCRIPT_ENABLED`) go over its file, so the sidecar needs the same environment.
    Raises StartError if the file, or one that it extends, cannot be read.
    """
    properties = load(path, environment)
    kinds = [*sections]
    fields = [*_fields(kinds)]
    watched = [row for row in WATCHED if _counts(row.key, properties) and row.applies(properties, row.key)]
    guards = [(row.by_delegate, f"{row.key} = {_shown(row.key, properties)}") for row in watched if row.guards]
    script = delegate_script.read(path, properties) if any(by_delegate for by_delegate, _ in guards) else None
    hand_over: Extent = max((row.hand_over for row in watched), key=EXTENTS.index, default="")
    values = _values((field for field in fields if _counts(field.key, properties)), properties)
    values[""] = {
        **values.get("", {}),
        **_present(
            guarded=next((text for by_delegate, text in guards if not by_delegate), ""),
            delegate_guards=next((text for by_delegate, text in guards if by_delegate), ""),
            delegate_objection=script.objection if script else "",
            hand_over=hand_over,
        ),
    }
    notes = [
        *_watched_notes(watched, properties),
        *_source_notes(kinds, properties),
        *_unknown_notes(fields, properties),
    ]
    return Takeover(values, notes, guards[0][1] if guards else "", hand_over, script)


def _fields(kinds: Iterable[type[Section]]) -> Iterator[_Field]:
    """Return the fields that come from keys: the core's by the table of keys, those of plugins by their annotations."""
    core = {row.field: row for row in TAKEN}
    for kind in kinds:
        for name, field in kind.model_fields.items():
            if not kind.table and name in core:
                yield _Field(kind, name, core[name].key, core[name].read)
            for mark in field.metadata:
                if isinstance(mark, FromCantaloupe):
                    plain = mark.plain or ".BasicLookupStrategy." in mark.key
                    yield _Field(kind, name, mark.key, _reading(mark), plain)


def _reading(mark: FromCantaloupe) -> Callable[[Properties, str], object]:
    if mark.read == "whole":
        return readings.whole(int(mark.default))
    if mark.read == "flag":
        return readings.flag(default=bool(mark.default))
    return readings.nonempty if mark.read == "nonempty" else readings.text()


def _present(**values: object) -> Mapping[str, object]:
    return {name: value for name, value in values.items() if value}


def _source(properties: Properties) -> str:
    return class_name(properties.text(SOURCE_KEY))


def _counts(key: str, properties: Properties) -> bool:
    """Report whether a key has any effect: those of a source do only while it is the one in use."""
    owner = key.partition(".")[0]
    if not owner.endswith("Source"):
        return True
    return owner == _source(properties) and not properties.flag("source.delegate", default=False)


def _values(fields: Iterable[_Field], properties: Properties) -> dict[str, dict[str, object]]:
    scripted = properties.text(f"{_source(properties)}.lookup_strategy") == "ScriptLookupStrategy"
    values: dict[str, dict[str, object]] = {}
    for field in fields:
        value = field.read(properties, field.key)
        if value is not None and not (scripted and field.plain):
            values.setdefault(field.section.table, {})[field.name] = value
    return values


def _watched_notes(watched: Iterable[Watched], properties: Properties) -> Iterator[Note]:
    for row in watched:
        yield Note(row.key, _shown(row.key, properties), row.text, row.hand_over)


def _source_notes(kinds: Iterable[type[Section]], properties: Properties) -> Iterator[Note]:
    """Report a source that no plugin stands for."""
    known = {"", *(kind.cantaloupe_source for kind in kinds)}
    if _source(properties) not in known:
        text = "no plugin reads from there: unless a source of the sidecar's own is set, every request is handed over"
        yield Note(SOURCE_KEY, _shown(SOURCE_KEY, properties), text)


def _unknown_notes(fields: Iterable[_Field], properties: Properties) -> Iterator[Note]:
    named = {field.key for field in fields}
    for key in properties.keys:
        if key in named or is_known(key):
            continue
        owner = key.partition(".")[0]
        if owner.endswith("Source") and owner != _source(properties):
            continue
        yield Note(key, _shown(key, properties), "not a key that the sidecar or a plugin knows; it has no effect here")


def is_known(key: str) -> bool:
    """Report whether the table of keys, which is the core's, says what becomes of a key."""
    foreign = (pattern for patterns in FOREIGN.values() for pattern in patterns)
    return any(fnmatchcase(key, pattern) for pattern in (*NAMED, *foreign))


def _shown(key: str, properties: Properties) -> str:
    return "(secret)" if key.endswith(_SECRET) else properties.text(key)
