"""What the sidecar takes over from a Cantaloupe's configuration, and what it says of the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from sidecar.cantaloupe.keys import FOREIGN, NAMED, SOURCES, TAKEN, WATCHED, Requests, Taken, Watched
from sidecar.cantaloupe.properties import Properties, load
from sidecar.cantaloupe.values import class_name
from sidecar.config import Section, Values

_EXTENT: tuple[Requests, ...] = get_args(Requests)
"""Each kind of requests holds the one before it."""
_SECRET = ("secret", "secret_key", "password", "account_key")


@dataclass(frozen=True, slots=True)
class Note:
    """A key that the sidecar does not honour, for people."""

    key: str
    value: str
    """As it stands in the configuration; secrets are left out."""
    text: str
    hand_over: Requests = "none"
    """The requests that Cantaloupe answers because of it."""

    def __str__(self) -> str:
        """One line for the log."""
        effect = "" if self.hand_over == "none" else f"; handed over: {self.hand_over}"
        return f"{self.key} = {self.value}: {self.text}{effect}"


@dataclass(frozen=True, slots=True)
class Takeover:
    """A Cantaloupe's configuration in the sidecar's terms."""

    values: Values
    """For `config.load`, below all other layers; `guarded` and `hand_over` are among them."""
    notes: Sequence[Note]
    guarded: str = ""
    """Why images may be guarded: `key = value`; empty where nothing says so. A delegate written in Java is found by
    Cantaloupe on its class path and does not show here."""
    hand_over: Requests = "none"
    """The requests that must be Cantaloupe's for the answers to be right, guarded or not."""


def read(path: Path, sections: Iterable[type[Section]], environment: Mapping[str, str] = os.environ) -> Takeover:
    """Read Cantaloupe's file under its environment. `sections` are the settings there are: the core's and plugins'.

    Cantaloupe's variables (`DELEGATE_SCRIPT_ENABLED`) go over its file, so the sidecar needs the same environment.
    Raises StartError where the file, or one it extends, cannot be read.
    """
    properties = load(path, environment)
    fields = {(kind.table, name) for kind in sections for name in kind.model_fields}
    taken = [row for row in TAKEN if _applies(row.key, properties)]
    watched = [row for row in WATCHED if _applies(row.key, properties) and row.speaks(properties, row.key)]
    guarded = next((f"{row.key} = {_shown(row.key, properties)}" for row in watched if row.guards), "")
    hand_over: Requests = max((row.hand_over for row in watched), key=_EXTENT.index, default="none")
    values = _values((row for row in taken if (row.table, row.field) in fields), properties)
    values[""] = {**values.get("", {}), **_decisions(guarded, hand_over)}
    missing = [row for row in taken if (row.table, row.field) not in fields]
    return Takeover(values, [*_notes(watched, missing, properties)], guarded, hand_over)


def _decisions(guarded: str, hand_over: Requests) -> Mapping[str, object]:
    decisions = {"guarded": guarded, "hand_over": "" if hand_over == "none" else hand_over}
    return {name: value for name, value in decisions.items() if value}


def _applies(key: str, properties: Properties) -> bool:
    """Whether a key is heeded at all: those of a source are only while it is the one in use."""
    owner = key.partition(".")[0]
    if not owner.endswith("Source"):
        return True
    return owner == class_name(properties.text("source.static")) and not properties.flag(
        "source.delegate", default=False
    )


def _values(rows: Iterable[Taken], properties: Properties) -> dict[str, dict[str, object]]:
    scripted = _scripted(properties)
    values: dict[str, dict[str, object]] = {}
    for row in rows:
        value = row.read(properties, row.key)
        if value is not None and not (scripted and row.table in SOURCES.values()):
            values.setdefault(row.table, {})[row.field] = value
    return values


def _scripted(properties: Properties) -> bool:
    """Whether a script looks images up, so that the keys of the plain lookup mean nothing."""
    source = class_name(properties.text("source.static"))
    return properties.text(f"{source}.lookup_strategy") == "ScriptLookupStrategy"


def _notes(watched: Iterable[Watched], missing: Iterable[Taken], properties: Properties) -> Iterator[Note]:
    for row in watched:
        yield Note(row.key, _shown(row.key, properties), row.text, row.hand_over)
    for key in (row.key for row in missing if properties.text(row.key)):
        yield Note(key, _shown(key, properties), "no plugin that is installed has such a setting")
    for key in properties.keys:
        if not is_known(key):
            yield Note(key, _shown(key, properties), "not a key the sidecar knows; without effect here")


def is_known(key: str) -> bool:
    """Whether the table says what becomes of a key."""
    foreign = (pattern for patterns in FOREIGN.values() for pattern in patterns)
    return any(fnmatchcase(key, pattern) for pattern in (*NAMED, *foreign))


def _shown(key: str, properties: Properties) -> str:
    return "(secret)" if key.endswith(_SECRET) else properties.text(key)
