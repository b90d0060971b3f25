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
_MOST_OPEN: Final = 2
"""Parts whose end is found by trying: each multiplies the steps of a match by the length of the identifier."""


@dataclass(frozen=True, slots=True)
class LocationRule:
    """A pattern of identifiers, and where the images are whose identifiers match it."""

    pattern: re.Pattern[str]
    template: str

    @classmethod
    def parse(cls, text: str) -> LocationRule:
        """Read `PATTERN -> TEMPLATE`. Raises ValueError.

        In a pattern, `{name}` is one or more characters without a slash, `{name*}` with slashes, `{name:2}` exactly two
        without a slash. In a template, `{name}` stands for what was found, `{identifier}` for the whole identifier.
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
    pieces = _PART.split(pattern)
    written: list[str] = [_plain(pieces[0])]
    parts = [*zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)]
    tried = 0
    for number, (name, size, text) in enumerate(parts, 1):
        if name == _WHOLE or name in pieces[1 : 3 * number - 2 : 3]:
            raise ValueError(f"{pattern!r}: {{{name}}} stands for something already")
        # What ends at the end of the identifier, or at its first slash, needs no trying: it gives no character back.
        sure = (number == len(parts) and not text) or (not size and text.startswith("/"))
        tried += not sure and not (size or "").startswith(":")
        written.append(f"(?P<{name}>{_expression(size, sure=sure)}){_plain(text)}")
    if tried > _MOST_OPEN:
        raise ValueError(f"{pattern!r}: more than {_MOST_OPEN} parts that end neither at a slash nor at the end")
    return re.compile("".join(written), re.DOTALL)


def _expression(size: str | None, *, sure: bool) -> str:
    if size and size.startswith(":"):
        return f"[^/]{{{size[1:]}}}"
    return f"{'.' if size else '[^/]'}+{'+' if sure else ''}"


def _plain(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r}: parts of a pattern are written {{name}}, {{name*}} or {{name:2}}")
    return re.escape(text)
