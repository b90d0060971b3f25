"""Which lines of the parsers inputs reach, and the few inputs of many that reach all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz.target import Target

Arc = tuple[str, int, int]
"""A file, and a step from one of its lines to another."""
PARSERS: Final = (
    "sidecar/iiif/",
    "sidecar/cantaloupe/properties",
    "sidecar/http/client",
    "sidecar/http/conditional",
    "sidecar/remote/http_ranges",
    "sidecar_openslide/tiff",
    "sidecar_tiff/",
    "sidecar_jp2/",
    "sidecar_htj2k/",
)
"""Parts of the paths of what is fuzzed."""


def arcs(target: Target, content: bytes) -> set[Arc]:
    """Return the steps from line to line that an input takes through the parsers; none if it surprises."""
    taken: set[Arc] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not any(part in name for part in PARSERS):
            return None
        last = frame.f_lineno

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                taken.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        taken.add((name, 0, last))
        return line if event == "call" else None

    sys.settrace(trace)
    try:
        with suppress(Exception):
            target.endures(content)
    finally:
        sys.settrace(None)
    return taken


def distilled(target: Target, known: Sequence[bytes], fresh: Sequence[bytes]) -> list[bytes]:
    """Return those of the fresh inputs, short ones first, that reach more than known ones do."""
    seen = set[Arc]().union(*(arcs(target, content) for content in known))
    kept = []
    for content in sorted(fresh, key=len):
        if more := arcs(target, content) - seen:
            seen |= more
            kept.append(content)
    return kept


def modules(target: Target) -> set[Path]:
    """Return the modules of the parsers that the corpus of a target reaches."""
    return {Path(name) for content in target.corpus() for name, _, _ in arcs(target, content)}
