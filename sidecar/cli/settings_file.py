"""A file of settings as `sidecar init` writes it: TOML, each setting with its meaning.

Settings that are left at their default are comments.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import SecretStr, ValidationError

from sidecar.config import Settings, Values, settable
from sidecar.errors import StartError
from sidecar.observability.redaction import redacted
from sidecar.plugin import RemoteSettings, Section

_WIDTH: Final = 98
_CORE: Final = (
    *("bind", "workers", "trusted_proxies", "cantaloupe_url", "prefix", "base_uri"),
    *("memory_bytes", "request_memory_bytes", "max_pixels", "max_scale", "cache_control", "color", "orientation"),
    *("authorization_is_done_in_front", "sandbox", "log_level", "log_format", "status_networks", "explain_responses"),
)
"""Settings of the core in which sites differ; the others are there for measurements and emergencies."""


def written(kinds: Iterable[type[Section]], values: Values, head: Sequence[str] = (), *, every: bool = False) -> str:
    """Return the text of a file with these values. Raises StartError with a line for each wrong one.

    `kinds`: the core's first; `head`: lines for the beginning; `every`: name all settings, not only those in which
    sites differ.
    """
    blocks = ["".join(_comment(line) for line in head)] if head else []
    for kind in kinds:
        given = values.get(kind.table, {})
        section = checked(kind, given)
        if kind.table:
            blocks.append(f"[{kind.table}]\n")
        named = [name for name in settable(kind) if every or name in given or name in _wanted(kind)]
        blocks += [_setting(kind, name, getattr(section, name), set_here=name in given) for name in named]
    return "\n".join(blocks)


def checked(kind: type[Section], values: Mapping[str, object]) -> Section:
    """Return a section with these values. Raises StartError with a line for each wrong one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        wrong = (f"{_variable(kind, each['loc'])}: {each['msg']}" for each in error.errors())
        raise StartError("\n".join(wrong)) from error


def has_secrets(values: Values, kinds: Iterable[type[Section]]) -> bool:
    """Return whether a file with these values should not be read by everybody."""
    return any(
        (kind.model_fields[name].annotation is SecretStr and bool(value)) or redacted(toml(value)) != toml(value)
        for kind in kinds
        for name, value in values.get(kind.table, {}).items()
    )


def _variable(kind: type[Section], loc: tuple[int | str, ...]) -> str:
    return kind.variable(str(loc[0]) if loc else "")


def _wanted(kind: type[Section]) -> Sequence[str]:
    """Return the settings to name even if they are not set: of a plugin those that other sources do not have too."""
    if kind is Settings:
        return _CORE
    return [name for name in kind.model_fields if name not in RemoteSettings.model_fields]


def _setting(kind: type[Section], name: str, value: object, *, set_here: bool) -> str:
    line = f"{name} = {toml(value)}".rstrip()
    return f"{_comment(kind.meaning(name))}{line if set_here else f'# {line}'}\n"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in _lines(text))


def _lines(text: str) -> Iterator[str]:
    return iter(textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False) or [""])


def toml(value: object) -> str:
    """Return a value as TOML has it; empty if there is none."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return toml(value.get_secret_value())
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    # A basic string of TOML has JSON's escapes; DEL, which JSON leaves alone, is the one character more.
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False).replace("\x7f", "\\u007f")
