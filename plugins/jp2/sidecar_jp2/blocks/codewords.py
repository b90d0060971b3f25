"""The codewords of packet headers: numbers of coding passes, and how passes make codeword segments (ITU-T T.800)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

BYPASS: Final = 0x01
RESET: Final = 0x02
TERMALL: Final = 0x04
VCAUSAL: Final = 0x08
PTERM: Final = 0x10
SEGSYM: Final = 0x20
"""Code-block styles (T.800 table A.19). Only the first and the third change how many segments a block has."""

MOST_PASSES: Final = 109
"""Coding passes of a code block: one, and three for each of 36 further bit planes. OpenJPEG begins a segment anew
beyond that, other decoders do not."""
FIRST_SEGMENT: Final = 10
"""Coding passes before the first raw one with BYPASS (T.800 table D.9)."""


def _codeword(passes: int) -> str:
    """Return the codeword of table B.4."""
    if passes <= 2:  # noqa: PLR2004  # the rows of the table
        return "0" if passes == 1 else "10"
    if passes <= 5:  # noqa: PLR2004
        return f"11{passes - 3:02b}"
    if passes <= 36:  # noqa: PLR2004
        return f"1111{passes - 6:05b}"
    return f"111111111{passes - 37:07b}"


PASS_CODES: Final = ("", *map(_codeword, range(1, 165)))
"""By number of coding passes."""
SHORT_CODES: Final = {
    f"{bits:04b}": next(
        (passes, len(code)) for passes, code in enumerate(PASS_CODES) if code and f"{bits:04b}".startswith(code)
    )
    for bits in range(15)
}
"""By the first four bits, unless all of them are 1: the number of passes, and the length of its codeword."""
MIDDLE_CODES: Final = {PASS_CODES[passes][4:]: passes for passes in range(6, 37)}
"""By the next five bits: the number of passes."""


@lru_cache(maxsize=4096)
def segment_passes(style: int, before: int, passes: int) -> tuple[int, ...]:
    """Return how many of the next passes of a code block fall into each segment; `before` came in earlier layers.

    T.800 table D.8 and D.9: TERMALL ends a segment after each pass, BYPASS after each cleanup pass from the fourth
    bit plane on and after the two raw passes between.
    """
    if style & TERMALL:
        return (1,) * passes
    if not style & BYPASS:
        return (passes,)
    found, at, stop = [], before, before + passes
    while at < stop:
        end = min(_segment_end(at), stop)
        found.append(end - at)
        at = end
    return tuple(found)


def _segment_end(number: int) -> int:
    """Return the number of the pass after the segment of a pass, with BYPASS."""
    if number < FIRST_SEGMENT:
        return FIRST_SEGMENT
    plane, place = divmod(number - FIRST_SEGMENT, 3)
    return FIRST_SEGMENT + 3 * plane + (2 if place < 2 else 3)  # noqa: PLR2004  # two raw passes, then a cleanup pass
