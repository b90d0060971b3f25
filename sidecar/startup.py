"""What has to be found before anything can be served, the same way by the command and by each worker.

SIDECAR_CONFIG names a TOML file, SIDECAR_CANTALOUPE_CONFIG a Cantaloupe's own configuration that lies below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from sidecar import cantaloupe
from sidecar.config import Config, Section, Settings
from sidecar.registry import Plugins

TOML: Final = "SIDECAR_CONFIG"
CANTALOUPE: Final = "SIDECAR_CANTALOUPE_CONFIG"


@dataclass(frozen=True, slots=True)
class Setup:
    """Plugins, settings, and what people should know of both."""

    plugins: Plugins
    config: Config
    notes: Sequence[str]
    """Lines on variables that are no settings, and on keys of Cantaloupe that are not honoured."""


def setup(environment: Mapping[str, str] = os.environ) -> Setup:
    """Find the plugins and read every setting. Raises StartError."""
    plugins = Plugins()
    sections: list[type[Section]] = [Settings, *plugins.sections()]
    notes = [*unknown_variables(sections, environment)]
    below = {}
    if path := environment.get(CANTALOUPE):
        takeover = cantaloupe.read(Path(path), sections, environment)
        below[path] = takeover.values
        notes += map(str, takeover.notes)
    toml = environment.get(TOML)
    return Setup(plugins, plugins.configure(Path(toml) if toml else None, below), notes)


def unknown_variables(sections: Iterable[type[Section]], environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that looks like a setting and is none: most often a slip of the pen."""
    known = {TOML, CANTALOUPE, *(kind.variable(name) for kind in sections for name in kind.model_fields)}
    for name in sorted(environment):
        if name.upper().startswith("SIDECAR_") and name.upper() not in known:
            nearest = get_close_matches(name.upper(), known, n=1)
            yield f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else "")
