"""Every section of Cantaloupe's sample configuration, and what becomes of its keys: a table of the migration guide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sidecar.cantaloupe.keys import FOREIGN, SOURCE_KEY, TAKEN, WATCHED
from sidecar.config import Settings
from sidecar.plugin import FromCantaloupe, Section

SAMPLE: Final = Path(__file__).parents[2] / "data" / "cantaloupe_sections.txt"
"""The keys of the sample of Cantaloupe 5.0.6, below the headings of its sections, in its order."""


def sections() -> Mapping[str, Sequence[str]]:
    """Return the keys of each section."""
    found: dict[str, list[str]] = {}
    keys: list[str] = []
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            keys = found.setdefault(line[2:], [])
        else:
            keys.append(line)
    return found


def rows(kinds: Iterable[type[Section]]) -> Iterator[Sequence[str]]:
    """Yield section, keys and what becomes of them; `kinds` are the settings that exist, the core's and plugins'."""
    fates = [*_fates([*kinds])]
    for section, keys in sections().items():
        for pattern, fate in fates:
            if any(fnmatchcase(key, pattern) for key in keys):
                yield section, f"`{pattern}`", fate


def _fates(kinds: Sequence[type[Section]]) -> Iterator[tuple[str, str]]:
    """Yield patterns of keys and what becomes of those that match."""
    yield SOURCE_KEY, "the source whose keys count: FilesystemSource, HttpSource or S3Source, if its plugin is there"
    for taken in TAKEN:
        yield taken.key, f"becomes `{Settings.variable(taken.field)}`"
    for kind in kinds:
        for name, field in kind.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, FromCantaloupe):
                    yield mark.key, f"becomes `{kind.variable(name)}`"
    for watched in WATCHED:
        effect = f"; then handed over: {watched.hand_over}" if watched.hand_over else ""
        guard = "; then every request is handed over, see below" if watched.guards else ""
        yield watched.key, f"reported if set: {watched.text}{effect}{guard}"
    for reason, patterns in FOREIGN.items():
        for pattern in patterns:
            yield pattern, f"no effect: {reason}"
