"""What has to be found before anything can be served, the same way by the command and by each worker.

SIDECAR_CONFIG names a TOML file, SIDECAR_CANTALOUPE_CONFIG a Cantaloupe's own configuration that lies below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sidecar import cantaloupe
from sidecar.cantaloupe import DelegateScript
from sidecar.config import Settings, Values, core, renamed_keys, settable
from sidecar.errors import StartError
from sidecar.plugin import Config, LookupSettings, Section
from sidecar.registry import Plugins

TOML: Final = "SIDECAR_CONFIG"
CANTALOUPE: Final = "SIDECAR_CANTALOUPE_CONFIG"


@dataclass(frozen=True, slots=True)
class Setup:
    """Plugins, settings, and warnings to show the operator."""

    plugins: Plugins
    config: Config
    warnings: Sequence[str]
    """Lines on variables that are no settings, settings that were renamed, keys of Cantaloupe without effect, and its
    delegate script."""
    script: DelegateScript | None = None
    """Cantaloupe's delegate script, if its configuration is known and has one in use."""


def setup(environment: Mapping[str, str] = os.environ, below: Mapping[str, Values] = MappingProxyType({})) -> Setup:
    """Find the plugins and read every setting. Raises StartError.

    `below`: origin -> values that lie below all others.
    """
    plugins = Plugins()
    sections: list[type[Section]] = [Settings, *plugins.sections()]
    warnings = [*unknown_variables(sections, environment)]
    layers = dict(below)
    script, guarded = None, None
    if path := environment.get(CANTALOUPE):
        takeover = cantaloupe.read(Path(path), sections, environment)
        layers[path] = takeover.values
        warnings += map(str, takeover.notes)
        script = takeover.script
        guarded = takeover.values[""].get("guarded")
    toml = Path(environment[TOML]) if environment.get(TOML) else None
    if toml:
        warnings += renamed_keys(sections, toml)
    config = plugins.configure(toml, layers)
    if guarded and not core(config).guarded:
        raise StartError(f"{Settings.variable('guarded')}: cannot be emptied, since Cantaloupe has {guarded}")
    return Setup(plugins, config, [*warnings, *delegate_lines(script, config)], script)


def delegate_lines(script: DelegateScript | None, config: Config) -> Iterator[str]:
    """Return lines on what takes the place of Cantaloupe's delegate script, and on what is then missing."""
    settings = core(config)
    variable = Settings.variable("delegate_only_looks_up")
    if not settings.delegate_guards or settings.authorization_is_done_in_front:
        return
    if not settings.delegate_only_looks_up:
        for kind, section in config.sections.items():
            if isinstance(section, LookupSettings) and section.looks_up:
                yield (
                    f"[{kind.table}] has a lookup that is not used: every request is handed over because of "
                    f"{settings.delegate_guards}, unless {variable} says that the delegate script only looks up"
                )
        return
    if settings.delegate_objection:
        yield f"{variable} has no effect: {settings.delegate_objection}; every request is handed over"
        return
    if script:
        yield f"{variable}: Cantaloupe's {script.path} is not asked for what the sidecar answers{_missing(script)}"


def _missing(script: DelegateScript) -> str:
    """Return what a delegate script that is not asked would add, or might do."""
    added, elsewhere = ", ".join(script.of_role("adds")), ", ".join(script.elsewhere)
    unseen = f"; by {elsewhere} it may have methods that do not show in its text: see that none guards images"
    return (f"; what its {added} would add is missing" if added else "") + (unseen if elsewhere else "")


def unknown_variables(sections: Iterable[type[Section]], environment: Mapping[str, str]) -> Iterator[str]:
    """Return a line for each variable that looks like a setting and is none: most often a typing error."""
    kinds = [*sections]
    known = {TOML, CANTALOUPE, *(kind.variable(name) for kind in kinds for name in settable(kind))}
    renamed = {kind.variable(old): kind.variable(new) for kind in kinds for old, new in kind.renamed.items()}
    for name in sorted(environment):
        variable = name.upper()
        if variable in renamed:
            yield f"{name} is now called {renamed[variable]}"
        elif variable.startswith("SIDECAR_") and variable not in known:
            nearest = get_close_matches(variable, known, n=1)
            yield f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else "")
