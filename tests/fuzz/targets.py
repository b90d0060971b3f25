"""All targets, by name.

A parser of bytes that a client, a file or another server chooses gets a target here; test_fuzz.py fails if a module of
the formats is reached by none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.fuzz import slides, structures, texts
from tests.fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {target.name: target for target in (*structures.TARGETS, *slides.TARGETS, *texts.TARGETS)}
)
