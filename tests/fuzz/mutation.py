"""Inputs changed at random, from a seed: along the structure of JPEG 2000 files, or anywhere by bytes and words."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final

from tests.fuzz.target import Target
from tests.resilience.corruption import LAYOUTS, NUMBERS, mutated

LONGEST: Final = 1 << 16
MOST_CHANGES: Final = 4


def changed(draw: random.Random, target: Target, known: Sequence[bytes]) -> bytes:
    """Return a new input out of known ones."""
    # One in four by bytes: what stands inside segments is changed too.
    if target.structured and draw.random() < 0.75:
        return mutated(draw.randrange, known)
    return scattered(draw, known, target.words)


def scattered(draw: random.Random, known: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Return a known input with up to four changes of bytes, numbers, words and stretches."""
    content = draw.choice(known)
    for _ in range(draw.randint(1, MOST_CHANGES)):
        content = draw.choice(_CHANGES)(draw, content, known, words)
    return content[:LONGEST]


def _flip(draw: random.Random, content: bytes, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    del known, words
    if not content:
        return bytes([draw.randrange(256)])
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def _number(draw: random.Random, content: bytes, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Put a number of either byte order over what is there."""
    del known, words
    layout = draw.choice(LAYOUTS).replace(">", draw.choice("<>"))
    data = struct.pack(layout, draw.choice(NUMBERS) & (1 << 8 * struct.calcsize(layout)) - 1)
    at = draw.randrange(len(content) + 1)
    return content[:at] + data + content[at + len(data) :]


def _word(draw: random.Random, content: bytes, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Insert a word, or a stretch of another input."""
    other = draw.choice(known)
    start = draw.randrange(len(other) + 1)
    word = draw.choice(words) if words else other[start : start + draw.randint(1, 64)]
    at = draw.randrange(len(content) + 1)
    return content[:at] + word + content[at:]


def _cut(draw: random.Random, content: bytes, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    del known, words
    start = draw.randrange(len(content) + 1)
    return content[:start] + content[start + draw.choice((1, 4, 40, len(content))) :]


def _repeat(draw: random.Random, content: bytes, known: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    del known, words
    start = draw.randrange(len(content) + 1)
    return (
        content[:start] + content[start : start + draw.choice((1, 8, 100))] * draw.choice((2, 3, 50)) + content[start:]
    )


_CHANGES: Final[tuple[Callable[[random.Random, bytes, Sequence[bytes], Sequence[bytes]], bytes], ...]] = (
    _flip,
    _flip,
    _number,
    _number,
    _word,
    _word,
    _cut,
    _repeat,
)
