"""How many bit planes of each subband are left out, so that what is lost stays below a threshold in grey levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

from sidecar_jp2.format.main_header import MainHeader
from sidecar_jp2.format.subbands import bit_planes, exponent_and_mantissa, step

Planes: TypeAlias = tuple[tuple[tuple[int, ...], ...], ...]
"""By component, resolution (the smallest first) and subband (LL; HL, LH, HH)."""
Bands: TypeAlias = tuple[float, float, float]
"""HL, LH, HH."""
ByDepth: TypeAlias = tuple[Bands, Bands]
"""The finest resolution that is decoded, and the next one."""
DEPTHS: Final = 2
"""So many resolutions lose something: coarser ones have a sixteenth of the samples, and JPEG shows all of them."""

REVERSIBLE_NORMS: Final[ByDepth] = ((0.52, 0.52, 0.36), (0.40, 0.40, 0.23))
IRREVERSIBLE_NORMS: Final[ByDepth] = ((1.01, 1.01, 1.04), (1.0, 1.0, 0.97))
"""The error of the pixels, root mean square, for one of 1 in every coefficient of a subband: the L2 norm of the
synthesis filters (T.800 F.3.8), divided by 2 for each halving."""
REVERSIBLE_COLORS: Final = 0.48
IRREVERSIBLE_COLORS: Final = 0.98
"""The error of red, green and blue for one of 1 in a colour difference (T.800 G.2.2, G.3.2), the mean of both."""
LUMA: Final[ByDepth] = ((1.0, 1.0, 2.9), (0.36, 0.36, 0.2))
CHROMA: Final[ByDepth] = ((1.5, 1.5, 3.0), (0.6, 0.6, 0.6))
HALVED: Final[ByDepth] = ((8.0, 8.0, 8.0), (1.4, 1.4, 1.1))
"""What a JPEG hides of each subband, as measured with photographs: the errors, as multiples of the one of the first
subband, that take as much time to decode for each dB that they cost. The quantization of JPEG is coarser for high
frequencies (ITU-T T.81 K.1), and chroma of half the size has none of the finest ones."""
COLORS: Final = 3
"""Components that can lose something. What follows them is opacity."""
LEAST_SIZE: Final = 12
"""Precincts of fewer samples (as a power of 2) lose nothing if their headers would have to be written anew, which takes
longer than decoding them."""
LEAST_PLANES: Final = 1
"""Bit planes that stay of each subband."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What may be lost of a window."""

    threshold: float
    """The error in grey levels that the first subband may add, about."""
    halved_chroma: bool = False
    """Whether chroma is averaged over two by two pixels."""
    margin: int = 0
    """Bit planes that code blocks lose besides if they lie in the margin of the window alone."""
    layers: int | None = None
    """The first quality layers that are read; None: all."""


def dropped_planes(header: MainHeader, level: int, loss: Loss) -> Planes:
    """Return the bit planes left out of windows of a level: floor(log2(threshold * visible / (norm * step)))."""
    return tuple(_component(header, number, level, loss) for number in range(len(header.coding)))


def summed(planes: Planes) -> int:
    """Return how many they are, over all subbands."""
    return sum(sum(map(sum, component)) for component in planes)


def _component(header: MainHeader, number: int, level: int, loss: Loss) -> tuple[tuple[int, ...], ...]:
    finest = header.coding[number].levels - level
    resolutions = range(1, finest + 1)
    return ((0,), *(_bands(header, number, resolution, finest - resolution, loss) for resolution in resolutions))


def _bands(header: MainHeader, number: int, resolution: int, depth: int, loss: Loss) -> tuple[int, ...]:
    """Return those of a resolution which lies `depth` below the finest one that is decoded."""
    if number >= COLORS or depth >= DEPTHS:
        return (0, 0, 0)
    coding, quantization = header.coding[number], header.quantization[number]
    if coding.reversible and sum(coding.precincts[resolution]) < LEAST_SIZE:
        return (0, 0, 0)
    precision = header.geometry.components[number].precision
    norms = (REVERSIBLE_NORMS if coding.reversible else IRREVERSIBLE_NORMS)[depth]
    allowed, planes = _allowed(header, number, loss)[depth], list[int]()
    for band, norm in enumerate(norms):
        grey = step(quantization, coding, resolution, band, precision) * math.ldexp(1, 8 - precision)
        # An exponent that is lowered stays one.
        exponent, _ = exponent_and_mantissa(quantization, resolution, band)
        most = min(bit_planes(quantization, resolution, band) - LEAST_PLANES, exponent)
        planes.append(max(0, min(math.floor(math.log2(loss.threshold * allowed[band] / (norm * grey))), most)))
    return tuple(planes)


def _allowed(header: MainHeader, number: int, loss: Loss) -> ByDepth:
    """Return the error of the pixels that a component may make, as a multiple of the threshold."""
    if not (number and header.component_transform):
        return LUMA
    colors = REVERSIBLE_COLORS if header.coding[number].reversible else IRREVERSIBLE_COLORS
    first, second = HALVED if loss.halved_chroma else CHROMA
    return _scaled(first, colors), _scaled(second, colors)


def _scaled(bands: Bands, by: float) -> Bands:
    across, down, both = bands
    return across / by, down / by, both / by
