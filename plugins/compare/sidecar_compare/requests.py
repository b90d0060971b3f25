"""The requests to compare: IIIF requests found in lists of URLs and in nginx's access logs."""

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

from sidecar_compare.errors import ComparisonError

_LOGGED = re.compile(r'"(?P<method>[A-Z]+) (?P<url>\S+) HTTP/[0-9.]+"')
"""The request line in nginx's `combined` format and in formats derived from it."""
_LISTED = re.compile(r"(?:(?P<method>GET|HEAD)\s+)?(?P<url>\S+)")
_IIIF = re.compile(
    r"(?:https?://[^/?#]+)?(?:/[^?#]*?)?"
    r"(?P<target>/iiif/[0-9]/[^/?#]+(?:/info\.json|(?:/[^/?#]+){4})?(?:\?[^#]*)?)"
    r"(?:#.*)?"
)
"""Image API 2.1 and 3.0 §2: an image, its info.json, or its base URI."""
_ESCAPED = re.compile(r"\\x([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """A request that is sent to both servers."""

    method: str
    """GET or HEAD."""
    target: str
    """Path from `/iiif/` on, with its query, percent-encoded as in the input."""

    @property
    def is_info(self) -> bool:
        return self.target.partition("?")[0].endswith("/info.json")


def read(paths: Iterable[Path], limit: int) -> Sequence[Request]:
    """Return the first `limit` different requests in the files, all of them if `limit` is 0.

    `-` is standard input; files ending in `.gz` are decompressed. Raises ComparisonError if a file cannot be read.
    """
    found = (request for line in _lines(paths) if (request := parse(line)))
    return list(islice(_distinct(found), limit or None))


def parse(line: str) -> Request | None:
    """Return the request in a line, or None if the line holds no GET or HEAD of the Image API."""
    found = _LOGGED.search(line) or _LISTED.fullmatch(line.strip())
    method = (found and found["method"]) or "GET"
    url = found and _IIIF.fullmatch(_ESCAPED.sub(r"%\1", found["url"]))
    return Request(method, url["target"]) if url and method in ("GET", "HEAD") else None


def _distinct(found: Iterable[Request]) -> Iterator[Request]:
    seen: set[Request] = set()
    for request in found:
        if request not in seen:
            seen.add(request)
            yield request


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            with _opened(path) as file:
                yield from file
        except (OSError, EOFError, zlib.error) as error:
            raise ComparisonError(f"{path}: {error}") from error


def _opened(path: Path) -> AbstractContextManager[IO[str]]:
    if str(path) == "-":
        return nullcontext(sys.stdin)
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")
