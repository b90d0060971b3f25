"""The search for what may be lost: the highest threshold, and then the widest margin, within the bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from sidecar.plugin import Native, Pixels, Tolerance
from sidecar_jp2.loss.bound import Measured, Shown, show
from sidecar_jp2.loss.dropped_planes import Loss

THRESHOLDS: Final = tuple(round(2.0 ** (step / 3), 2) for step in range(-12, 10))
"""Grey levels. Three steps are one bit plane of every subband."""
MARGINS: Final = (3, 2, 1, 0)
FIRST: Final = THRESHOLDS.index(0.79)
"""Where the search begins."""
HALVED: Final = "4:2:0"

Decode: TypeAlias = Callable[[int, Loss | None], Pixels]
"""Decodes one of the windows, whole or with a loss."""


class Search:
    """Decodes some windows again and again."""

    def __init__(self, decode: Decode, native: Native, windows: int, tolerance: Tolerance, allowed: float) -> None:
        """`native` runs what takes long; `allowed` is in decibels."""
        self._decode = decode
        self._native = native
        self._tolerance = tolerance
        self._allowed = allowed
        self._pixels = [decode(number, None) for number in range(windows)]
        self._exact = [self._show(number, pixels) for number, pixels in enumerate(self._pixels)]

    def find(self, *, edged: bool, layers: int = 1) -> Loss | None:
        """Return what may be lost; None if nothing may.

        If `edged`, windows have margins that may lose more. Of several `layers` the last ones are left out, too.
        """
        loss = self._planes(edged=edged)
        return self._fewer_layers(loss, layers) if loss and layers > 1 else loss

    def _fewer_layers(self, loss: Loss, layers: int) -> Loss:
        """Return the loss with as few layers as are within the bound."""
        enough, few = layers, 0
        while enough - few > 1:
            middle = (enough + few) // 2
            choice = replace(loss, layers=middle)
            measured = self._measured(choice)
            if measured.within(self._allowed) and measured.sharp(self._allowed):
                enough = middle
            else:
                few = middle
        return replace(loss, layers=enough) if enough < layers else loss

    def _planes(self, *, edged: bool) -> Loss | None:
        for planes in MARGINS if edged else MARGINS[-1:]:
            place, measured = self._highest(planes)
            if measured is None:
                return None
            if not edged or measured.sharp(self._allowed):
                return self._loss(place, planes)
        return None

    def _highest(self, planes: int) -> tuple[int, Measured | None]:
        """Return the place of the highest threshold within the bound, and its losses; None: there is none.

        It is looked for from the usual one up or down. What is lost does not always grow with the threshold: where
        coefficients become 0, rounding errors vanish.
        """
        place, found = FIRST, self._within(FIRST, planes)
        step = 1 if found else -1
        while 0 <= place + step < len(THRESHOLDS):
            other = self._within(place + step, planes)
            if found and not other:
                break
            place, found = place + step, other
            if found and step < 0:
                break
        return place, found

    def _within(self, place: int, planes: int) -> Measured | None:
        measured = self._measured(self._loss(place, planes))
        return measured if measured.within(self._allowed) else None

    def _loss(self, place: int, planes: int) -> Loss:
        return Loss(THRESHOLDS[place], self._tolerance.subsampling == HALVED, planes)

    def _measured(self, loss: Loss) -> Measured:
        shown = [self._show(number, self._decode(number, loss)) for number in range(len(self._pixels))]
        return Measured.of(self._exact, shown)

    def _show(self, number: int, pixels: Pixels) -> Shown:
        return self._native(show, pixels, self._pixels[number], self._tolerance)


def typical(sizes: Sequence[int], count: int) -> Sequence[int]:
    """Return the numbers of a few windows, from the one of fewest bytes, a smooth one, to the one of most."""
    order = sorted(range(len(sizes)), key=lambda number: (sizes[number], number))
    if len(order) <= count:
        return order
    return [order[place * (len(order) - 1) // (count - 1)] for place in range(count)]
