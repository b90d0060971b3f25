"""What Cantaloupe's delegate script does, as far as its text shows: which methods do more than return nothing.

Ruby is not parsed. A method counts as a stub only if it is written as the simplest of stubs; whatever else stands there
counts as doing something, and words by which methods could come from elsewhere are reported as such. So the result errs
on the side of a script that does more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from sidecar.cantaloupe.properties import Properties

Role: TypeAlias = Literal["looks up", "guards", "adds"]

PATHNAME: Final = "delegate_script.pathname"
ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "source": "looks up",
        "azurestoragesource_blob_key": "looks up",
        "filesystemsource_pathname": "looks up",
        "httpsource_resource_info": "looks up",
        "jdbcsource_database_identifier": "looks up",
        "jdbcsource_lookup_sql": "looks up",
        "jdbcsource_media_type": "looks up",
        "s3source_object_info": "looks up",
        "pre_authorize": "guards",
        "authorize": "guards",
        "redactions": "guards",
        # Of Cantaloupe 3 and 4.0.
        "authorized?": "guards",
        "redirect": "guards",
        "deserialize_meta_identifier": "adds",
        "serialize_meta_identifier": "adds",
        "extra_iiif_information_response_keys": "adds",
        "extra_iiif2_information_response_keys": "adds",
        "extra_iiif3_information_response_keys": "adds",
        "metadata": "adds",
        "overlay": "adds",
    }
)
"""The methods that Cantaloupe calls (those of its delegates.rb.sample, and former ones), and what they are for."""

_STUBS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # To return nothing from these is to refuse.
        **dict.fromkeys(("pre_authorize", "authorize", "authorized?"), frozenset({"true"})),
        "redactions": frozenset({"", "nil", "[]"}),
    }
)
_NOTHING: Final = frozenset({"", "nil", "{}"})
_DEF: Final = re.compile(r"^[ \t]*(?:(?:private|public|protected)\s+)?def\s+(?:self\.)?([a-z_]\w*[?!=]?)(.*)$")
_DEF_WITHIN: Final = re.compile(r"(?:^|[\s;(])def\s+(?:\w+\.)?([a-z_]\w*[?!=]?)")
_PARAMETERS: Final = re.compile(r"^\s*(?:\([^()]*\)|\*?\w+(?:\s*=\s*\{\s*\})?(?=\s*;|\s*$))?")
_QUOTE_OR_COMMENT: Final = re.compile(r"[\"']|(?:^|\s)#(?!\{)")
_DYNAMIC: Final = re.compile(
    r"\b(define_method|define_singleton_method|method_missing|alias_method|alias|undef_method|remove_method|class_eval|"
    r"module_eval|instance_eval|class_exec|module_exec|instance_exec|eval|prepend|include|extend|require_relative|load|"
    r"autoload|java_delegate|"
    # What is no library by its plain name, so may be a file beside the script; a class without a body.
    r"require(?!\s*\(?\s*[\"']\w[\w/.-]*[\"'])|Class\.new)\b"
    r"|^\s*class\s+[\w:]+\s*(<)"
)
_LONGEST: Final = 2**20
"""Bytes of a script that is looked through."""


@dataclass(frozen=True, slots=True)
class DelegateScript:
    """A delegate script: what it visibly does."""

    path: Path | None
    """None if the configuration names none."""
    overridden: Sequence[str] = ()
    """Methods that Cantaloupe calls and that do more than return nothing, in the order of the file."""
    elsewhere: Sequence[str] = ()
    """Words by which the script may get methods that do not show in its text."""
    problem: str = ""
    """Why it could not be read; empty if it could."""

    def of_role(self, role: Role) -> Sequence[str]:
        """Return the overridden methods that are there for something."""
        return [name for name in self.overridden if ROLES[name] == role]

    @property
    def may_guard(self) -> Sequence[str]:
        """The overridden methods that may refuse an image, or parts of it, to some."""
        return self.of_role("guards")

    @property
    def objection(self) -> str:
        """Why a lookup must not take its place, whatever anybody says; empty if nothing speaks against it."""
        if self.problem:
            return f"{self.path} {self.problem}" if self.path else self.problem
        guards = ", ".join(self.may_guard)
        return f"{self.path} has {guards}, which may guard images" if guards else ""

    @property
    def only_looks_up(self) -> bool:
        """Whether all that shows is lookups: nothing proves that there is no more."""
        return not (self.problem or self.elsewhere or any(ROLES[name] != "looks up" for name in self.overridden))


def read(configuration: Path, properties: Properties) -> DelegateScript:
    """Read the script that a configuration names. Reports in the result if it cannot be read."""
    named = properties.text(PATHNAME)
    if not named:
        return DelegateScript(None, problem=f"{PATHNAME} names no script")
    # A name that is not absolute is that of a file beside the configuration, whatever folders it has
    # (`delegate/DelegateProxyService.java`).
    path = Path(named) if Path(named).is_absolute() else configuration.absolute().parent / Path(named).name
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST + 1)
    except OSError as error:
        return DelegateScript(path, problem=f"cannot be read: {error.strerror or error}")
    if len(text) > _LONGEST:
        return DelegateScript(path, problem=f"has more than {_LONGEST} bytes")
    return examine(path, text.decode("utf-8", "replace"))


def examine(path: Path | None, text: str) -> DelegateScript:
    """Return what the text of a script shows."""
    lines = [*_code(text)]
    overridden = {
        name: None for number, line in enumerate(lines) for name in _doing(line, lines[number + 1 : number + 3])
    }
    words = (found[1] or "a parent class" for line in lines for found in _DYNAMIC.finditer(line))
    return DelegateScript(path, [*overridden], [*dict.fromkeys(words)])


def _code(text: str) -> Iterator[str]:
    """Yield the lines that are code, without comments at their ends."""
    block = False
    # Python ends lines at more characters than Ruby does: what follows them in a comment would count.
    for line in text.replace("\r\n", "\n").split("\n"):
        if line == "__END__":
            return
        if line.startswith(("=begin", "=end")):
            block = line.startswith("=begin")
        elif not block and (code := _uncommented(line).rstrip()):
            yield code


def _uncommented(line: str) -> str:
    """Return a line without the comment at its end; what may stand in a string is none."""
    is_open = {"'": False, '"': False}
    for found in _QUOTE_OR_COMMENT.finditer(line):
        if found[0] in is_open:
            is_open[found[0]] = not is_open[found[0]]
        elif not any(is_open.values()):
            return line[: found.start()]
    return line


def _doing(line: str, following: Sequence[str]) -> Iterator[str]:
    """Yield the methods of a line that Cantaloupe calls, unless the line begins with the method and it is a stub."""
    found = _DEF.match(line)
    if found and found[1] in ROLES and _body(found[2], following) not in _STUBS.get(found[1], _NOTHING):
        yield found[1]
    yield from (name for name in _DEF_WITHIN.findall(line, found.end(1) if found else 0) if name in ROLES)


def _body(rest: str, following: Sequence[str]) -> str | None:
    """Return the expression that a method consists of; None if it is more than one line, or cannot be told."""
    after = _PARAMETERS.sub("", rest, count=1).strip()
    if after.startswith("="):
        return _value(after[1:])
    if after.startswith(";"):
        inner = [part.strip() for part in after.split(";") if part.strip()]
        if inner[-1:] != ["end"]:
            return None
        return _value("".join(inner[:-1])) if len(inner) <= 2 else None  # noqa: PLR2004  # an expression and `end`
    if after:
        return None
    first, second = (*(part.strip() for part in following[:2]), "", "")[:2]
    if first == "end":
        return ""
    return _value(first) if second == "end" else None


def _value(expression: str) -> str:
    return expression.strip().removeprefix("return").strip().replace(" ", "")
