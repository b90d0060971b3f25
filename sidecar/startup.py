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
from sidecar.config import Settings, renamed_keys
from sidecar.plugin import Config, Section
from sidecar.registry import Plugins

TOML: Final = "SIDECAR_CONFIG"
CANTALOUPE: Final = "SIDECAR_CANTALOUPE_CONFIG"


@dataclass(frozen=True, slots=True)
class Setup:
    """Plugins, settings, and warnings to show the operator."""

    plugins: Plugins
    config: Config
    warnings: Sequence[str]
    """Lines on variables that are no settings, settings that were renamed, and keys of Cantaloupe without effect."""


def setup(environment: Mapping[str, str] = os.environ) -> Setup:
    """Find the plugins and read every setting. Raises StartError."""
    plugins = Plugins()
    sections: list[type[Section]] = [Settings, *plugins.sections()]
    warnings = [*unknown_variables(sections, environment)]
    below = {}
    if path := environment.get(CANTALOUPE):
        takeover = cantaloupe.read(Path(path), sections, environment)
        below[path] = takeover.values
        warnings += map(str, takeover.notes)
    toml = Path(environment[TOML]) if environment.get(TOML) else None
    if toml:
        warnings += renamed_keys(sections, toml)
    return Setup(plugins, plugins.configure(toml, below), warnings)


def unknown_variables(sections: Iterable[type[Section]], environment: Mapping[str, str]) -> Iterator[str]:
    """Return a line for each variable that looks like a setting and is none: most often a typing error."""
    kinds = [*sections]
    known = {TOML, CANTALOUPE, *(kind.variable(name) for kind in kinds for name in kind.model_fields)}
    renamed = {kind.variable(old): kind.variable(new) for kind in kinds for old, new in kind.renamed.items()}
    for name in sorted(environment):
        variable = name.upper()
        if variable in renamed:
            yield f"{name} is now called {renamed[variable]}"
        elif variable.startswith("SIDECAR_") and variable not in known:
            nearest = get_close_matches(variable, known, n=1)
            yield f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else "")
