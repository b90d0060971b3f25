"""What to ask: IIIF requests found in lists of URLs and in nginx's access logs."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from sidecar.errors import StartError

_LOGGED = re.compile(r'"(?P<method>[A-Z]+) (?P<url>\S+) HTTP/[0-9.]+"')
"""The request line as in nginx's `combined` format and those made of it."""
_LISTED = re.compile(r"(?:(?P<method>GET|HEAD)\s+)?(?P<url>\S+)")
_IIIF = re.compile(
    r"(?:https?://[^/?#]+)?(?:/[^?#]*?)?"
    r"(?P<target>/iiif/[0-9]/[^/?#]+(?:/info\.json|(?:/[^/?#]+){4})?(?:\?[^#]*)?)"
    r"(?:#.*)?"
)
"""Image API 2.1 and 3.0 §2: an image, its info.json, or its base URI."""
_ESCAPED = re.compile(r"\\x([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """One request to both."""

    method: str
    """GET or HEAD."""
    target: str
    """From `/iiif/` on, with its query; percent-encoded as it came."""

    @property
    def is_info(self) -> bool:
        """Whether an info.json is asked for."""
        return self.target.partition("?")[0].endswith("/info.json")


def read(paths: Iterable[Path], limit: int) -> Sequence[Wanted]:
    """The first `limit` requests (0: all) of the files, each once. `-` is standard input, `.gz` is unpacked.

    Raises StartError where a file cannot be read.
    """
    found = (wanted for line in _lines(paths) if (wanted := parse(line)))
    return list(islice(_once(found), limit or None))


def parse(line: str) -> Wanted | None:
    """The request of a line, or None where it is not a GET or HEAD of the Image API."""
    found = _LOGGED.search(line) or _LISTED.fullmatch(line.strip())
    method = (found and found["method"]) or "GET"
    url = found and _IIIF.fullmatch(_ESCAPED.sub(r"%\1", found["url"]))
    return Wanted(method, url["target"]) if url and method in ("GET", "HEAD") else None


def _once(found: Iterable[Wanted]) -> Iterator[Wanted]:
    seen: set[Wanted] = set()
    for wanted in found:
        if wanted not in seen:
            seen.add(wanted)
            yield wanted


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            with _opened(path) as file:
                yield from file
        except (OSError, EOFError, zlib.error) as error:
            raise StartError(f"{path}: {error}") from error


def _opened(path: Path) -> AbstractContextManager[IO[str]]:
    if str(path) == "-":
        return nullcontext(sys.stdin)
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")
