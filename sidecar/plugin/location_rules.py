"""Rules that make of an identifier the place of an image: `scans:{name} -> https://host/{name}.jp2`. Pure.

Not regular expressions: those of an operator meet identifiers of anybody, and a careless one could take minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ARROW: Final = " -> "
_PART: Final = re.compile(r"\{([a-z_]+)(\*|:[1-9][0-9]{0,3})?\}")
_WHOLE: Final = "identifier"


@dataclass(frozen=True, slots=True)
class LocationRule:
    """A pattern of identifiers, and where the images are whose identifiers match it."""

    pattern: re.Pattern[str]
    template: str

    @classmethod
    def parse(cls, text: str) -> LocationRule:
        """Read `PATTERN -> TEMPLATE`. Raises ValueError.

        In a pattern, `{name}` is one or more characters without a slash, `{name*}` with slashes, `{name:2}` exactly two
        without a slash. A part ends at the first place where what follows it stands, the last one before the end of the
        identifier. In a template, `{name}` stands for what was found, `{identifier}` for the whole identifier.
        """
        pattern, arrow, template = text.partition(ARROW)
        if not arrow or not pattern.strip() or not template.strip():
            raise ValueError(f"{text!r} is not PATTERN{ARROW}TEMPLATE")
        found = _compiled(pattern.strip())
        unknown = {*names(template)} - {_WHOLE, *found.groupindex}
        if unknown:
            raise ValueError(f"{text!r}: the pattern has no part {{{min(unknown)}}}")
        return cls(found, template.strip())

    def match(self, identifier: str) -> Mapping[str, str] | None:
        """Return the parts of an identifier by name; None if it does not match as a whole."""
        found = self.pattern.fullmatch(identifier)
        return None if found is None else {**found.groupdict(), _WHOLE: identifier}


def names(template: str) -> Sequence[str]:
    """Return the names of a template's parts. Raises ValueError for any other brace."""
    if {"{", "}"} & {*_PART.sub("", template)} or any(size.startswith(":") for _, size in _PART.findall(template)):
        raise ValueError(f"{template!r}: parts of a template are written {{name}}")
    return [name for name, _ in _PART.findall(template)]


def fill(template: str, parts: Mapping[str, str], encode: Callable[[str, bool], str]) -> str:
    """Put parts into a template. `encode` receives each, and whether it was written `{name*}`."""
    return _PART.sub(lambda found: encode(parts[found[1]], found[2] == "*"), template)


def literal(template: str) -> str:
    """Return a template with `x` for each of its parts, to examine what identifiers do not change."""
    return _PART.sub("x", template)


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern. It matches in a time that grows with the length of the identifier only.

    A part and what stands between it and the next of open length are an atomic group, which is not reconsidered.
    """
    pieces = _PART.split(pattern)
    parts = [*zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)]
    names_seen = pieces[1::3]
    if len({_WHOLE, *names_seen}) <= len(names_seen):
        raise ValueError(f"{pattern!r}: two parts have one name, or a part is called {{{_WHOLE}}}")
    still_open = sum(_is_open(size) for _, size, _ in parts)
    written = _plain(pieces[0])
    group = ""
    for name, size, text in parts:
        if _is_open(size):
            if group.endswith("+?)"):
                raise ValueError(f"{pattern!r}: nothing says where the part before {{{name}}} ends")
            written += f"(?>{group})" if group else ""
            still_open -= 1
            group = f"(?P<{name}>{'.' if size else '[^/]'}+{'?' if still_open else ''})"
        else:
            group += f"(?P<{name}>[^/]{{{size[1:]}}})"
        group += _plain(text)
    return re.compile(written + group, re.DOTALL)


def _is_open(size: str | None) -> bool:
    return not (size or "").startswith(":")


def _plain(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r}: parts of a pattern are written {{name}}, {{name*}} or {{name:2}}")
    return re.escape(text)
