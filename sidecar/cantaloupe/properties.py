"""Cantaloupe's configuration as Cantaloupe reads it: environment over the file over the files it extends.

Since 4.1 Cantaloupe has its own reader (`config/PropertiesDocument.java`), which is not that of Java's
`java.util.Properties`: UTF-8, no continued lines, no escapes but that a run of backslashes counts as one, and `=`
splits a line before `:` does. A library for `java.util.Properties` would read many values differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from sidecar.errors import StartError

T = TypeVar("T")

_BLANK = "".join(map(chr, range(0x21)))
"""What Java's String.trim() removes; str.strip() would remove more."""
_WHOLE = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FLAGS: Mapping[str, bool] = MappingProxyType({"true": True, "1": True, "false": False, "0": False})


@dataclass(frozen=True, slots=True)
class Properties:
    """All keys of a configuration file and of those it extends, under the environment's."""

    files: Sequence[Mapping[str, str]]
    """The file itself first, then what it extends, its parent's parent and so on."""
    environment: Mapping[str, str]

    @property
    def keys(self) -> Sequence[str]:
        """Every key that a file has, in the order of the files, each once."""
        return [*dict.fromkeys(key for file in self.files for key in file)]

    def text(self, key: str, default: str = "") -> str:
        """Return the value; a variable that is set to nothing counts, a key that is set to nothing does not."""
        return self._first(key, str, default)

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001 - the value itself
        """Return the value if it is `true`, `1`, `false` or `0`, else the default, as Cantaloupe does silently."""
        return self._first(key, _FLAGS.get, default)

    def whole(self, key: str, default: int) -> int:
        """Return the value if it is a whole number, else the default, as Cantaloupe does silently."""
        return self._first(key, lambda text: int(text) if _WHOLE.fullmatch(text) else None, default)

    def real(self, key: str, default: float) -> float:
        """Return the value if it is a number, else the default, as Cantaloupe does silently."""
        return self._first(key, lambda text: float(text) if _REAL.fullmatch(text) else None, default)

    def _first(self, key: str, parse: Callable[[str], T | None], default: T) -> T:
        parsed = (parse(text) for text in self._candidates(key))
        return next((value for value in parsed if value is not None), default)

    def _candidates(self, key: str) -> Iterator[str]:
        variable = variable_of(key)
        if variable in self.environment:
            yield self.environment[variable]
        # Only the nearest file that has the key is asked, even if the key is empty there.
        nearest = next((file[key] for file in self.files if key in file), "")
        if nearest:
            yield nearest


def variable_of(key: str) -> str:
    """Return the environment variable that Cantaloupe puts over a key."""
    return re.sub(r"[^A-Za-z0-9]", "_", key.upper())


def load(path: Path, environment: Mapping[str, str]) -> Properties:
    """Read a file and all it extends. Raises StartError.

    Cantaloupe goes on if a file cannot be read; here that is an error, since its content is unknown.
    """
    files: dict[Path, Mapping[str, str]] = {}
    following: Path | None = path.absolute()
    while following is not None and following not in files:
        files[following] = parse(_read(following), following)
        following = _parent(files[following].get("extends", ""), following)
    return Properties([*files.values()], environment)


def parse(text: str, path: Path) -> Mapping[str, str]:
    """Return the keys of one file. Raises StartError with the line that is neither a comment nor has a key."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip(_BLANK)
        if not content or content[0] in "#!":
            continue
        key, separator, value = content.partition("=" if "=" in content else ":")
        if not separator or not key:
            raise StartError(f"{path}:{number}: neither a comment nor `key = value`")
        name = key.strip(_BLANK)
        # If a key occurs twice, the first value that is not empty counts.
        pairs[name] = pairs.get(name) or re.sub(r"\\+", r"\\", value.strip(_BLANK))
    return pairs


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")  # universal newlines, as Java's readLine
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"SIDECAR_CANTALOUPE_CONFIG: {path}: {error}") from error


def _parent(extends: str, child: Path) -> Path | None:
    if not extends:
        return None
    parent = re.sub("^~", lambda _: str(Path.home()), extends)
    # A mere name lies beside the child; any other relative path starts at the working directory, as in Cantaloupe.
    return Path(parent).absolute() if "/" in parent else child.parent / parent
