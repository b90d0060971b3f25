"""The identifier segment of a path.

As in Cantaloupe, whose `StandardMetaIdentifierTransformer` splits `name;page;numerator:denominator` from the right.
As there, `+` stands for a space; a plus sign is `%2B`. Before the page may stand the name of an image that the file
holds beside its own, as in `slide.svs;label;1:2`: Cantaloupe takes that for a part of the name, and finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final
from urllib.parse import unquote_to_bytes

from sidecar.errors import BadRequest, Unsupported

_ONE: Final = Fraction(1)
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Identifier:
    """An image, and how it is to be seen."""

    name: str
    """What sources look up: any text."""
    page: int | None = None
    """1 if it is named; other pages are not read here."""
    scale: Fraction = _ONE
    """The scale constraint: the image pretends to be this much smaller."""
    associated: str = ""
    """The name of an image that the file holds beside its own, as `label`; empty: its own."""


@dataclass(frozen=True, slots=True)
class IdentifierSyntax:
    """How identifiers are written at this site."""

    slash_substitute: str = ""
    """What stands for a slash, as Cantaloupe's `slash_substitute`; empty: nothing."""
    delimiter: str = ";"
    """What separates name, page and scale constraint; empty: nothing does."""
    associated: Collection[str] = ()
    """The names of images beside a file's own that may be asked for; others belong to the name of the file."""

    def read(self, segment: str) -> Identifier:
        """Read a raw segment; see `decode`."""
        found = decode(segment, self.slash_substitute, self.delimiter)
        name, _, associated = found.name.rpartition(self.delimiter) if self.delimiter else ("", "", "")
        return replace(found, name=name, associated=associated) if name and associated in self.associated else found

    def name(self, segment: str) -> str:
        """Read the name alone, that of an associated image with it; see `named`."""
        return named(segment, self.slash_substitute, self.delimiter)


def decode(segment: str, slash_substitute: str = "", delimiter: str = ";") -> Identifier:
    """Read a raw identifier segment, percent-decoding it exactly once.

    Raises BadRequest for broken escapes, bytes that are not UTF-8 and impossible pages or constraints, Unsupported for
    pages other than the first and for constraints that Cantaloupe redirects to their shortest form.
    """
    name, page, numerator, denominator = _parted(segment, slash_substitute, delimiter)
    return Identifier(name, _page(page), _scale(numerator, denominator))


def named(segment: str, slash_substitute: str = "", delimiter: str = ";") -> str:
    """Return the name in an identifier segment, whatever page and constraint it asks for. Raises BadRequest."""
    return _parted(segment, slash_substitute, delimiter)[0]


def _parted(segment: str, slash_substitute: str, delimiter: str) -> tuple[str, str | None, str | None, str | None]:
    text = _decoded(segment)
    if slash_substitute:
        text = text.replace(slash_substitute, "/")
    match = _pattern(delimiter).fullmatch(text) if delimiter else None
    return (match[1], match[2], match[3], match[4]) if match else (text, None, None, None)


def _decoded(segment: str) -> str:
    if not segment.isascii() or _BAD_ESCAPE.search(segment):
        raise BadRequest("identifier: it is not percent-encoded correctly")
    try:
        return unquote_to_bytes(segment.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("identifier: it is not UTF-8") from error


def _pattern(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    # The name takes as little as it can, so page and constraint are found from the right; re caches the pattern.
    return re.compile(f"(.+?)(?:{mark}([0-9]{{1,9}}))?(?:{mark}([0-9]{{1,9}}):([0-9]{{1,9}}))?")


def _page(text: str | None) -> int | None:
    if text is None:
        return None
    page = int(text)
    if page < 1:
        raise BadRequest("identifier: page numbers begin with 1")
    if page > 1:
        raise Unsupported("identifier: only first pages are read here")
    return page


def _scale(numerator: str | None, denominator: str | None) -> Fraction:
    if numerator is None or denominator is None:
        return _ONE
    above, below = int(numerator), int(denominator)
    if not 0 < above <= below:
        raise BadRequest("identifier: a scale constraint must be above 0 and at most 1")
    scale = Fraction(above, below)
    if scale == 1 or scale.denominator != below:
        raise Unsupported("identifier: the scale constraint is not in its shortest form")
    return scale
