"""The subbands of a component: how many bit planes their code blocks have, and what a step of them is worth."""

from __future__ import annotations

import math
from typing import Final

from sidecar_jp2.format.main_header import Coding, Quantization

GAINS: Final = ((0,), (1, 1, 2))
"""The binary logarithm of the gain of LL, and of HL, LH and HH (T.800 table E.1)."""
DERIVED: Final = 1
"""The quantization style with the exponent of LL alone (T.800 table A.28)."""


def exponent_and_mantissa(quantization: Quantization, resolution: int, band: int) -> tuple[int, int]:
    """Return how a subband is quantized; `band` counts LL, or HL, LH and HH (T.800 E.1.1)."""
    if quantization.style == DERIVED:
        exponent, mantissa = quantization.steps[0]
        return max(0, exponent - max(0, resolution - 1)), mantissa
    return quantization.steps[3 * resolution - 2 + band if resolution else 0]


def bit_planes(quantization: Quantization, resolution: int, band: int) -> int:
    """Return Mb, the most bit planes of a code block (T.800 E-2)."""
    return quantization.guard_bits + exponent_and_mantissa(quantization, resolution, band)[0] - 1


def step(quantization: Quantization, coding: Coding, resolution: int, band: int, precision: int) -> float:
    """Return the quantization step of a subband of samples of `precision` bits (T.800 E-3); 1 if it is reversible."""
    if coding.reversible:
        return 1.0
    exponent, mantissa = exponent_and_mantissa(quantization, resolution, band)
    range_bits = precision + GAINS[resolution > 0][band]
    return math.ldexp(1 + mantissa / 2048, range_bits - exponent)
