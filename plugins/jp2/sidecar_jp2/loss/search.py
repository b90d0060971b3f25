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

    def __init__(  # what is measured, and how
        self, decode: Decode, native: Native, windows: int, few: int, tolerance: Tolerance, allowed: float
    ) -> None:
        """The search is among the first `few` windows, and all of them have a say in the end.

        `native` runs what takes long; `allowed` is in decibels.
        """
        self._decode = decode
        self._native = native
        self._tolerance = tolerance
        self._allowed = allowed
        self._all, self._few = range(windows), range(min(few, windows))
        self._pixels: dict[int, Pixels] = {}
        self._exact: dict[int, Shown] = {}

    def find(self, *, edged: bool, layers: int = 1) -> Loss | None:
        """Return what may be lost; None if nothing may.

        If `edged`, windows have margins that may lose more. Of several `layers` the last ones are left out, too.
        """
        loss = self._planes(edged=edged)
        if loss and layers > 1:
            loss = self._fewer_layers(loss, layers)
        return self._held(loss) if loss else None

    def _held(self, loss: Loss) -> Loss | None:
        """Return the loss, lowered until all windows are within the bound."""
        for threshold in reversed(THRESHOLDS[: THRESHOLDS.index(loss.threshold) + 1]):
            choice = replace(loss, threshold=threshold)
            if self._measured(choice, self._all).within(self._allowed):
                return choice
        return None

    def _fewer_layers(self, loss: Loss, layers: int) -> Loss:
        """Return the loss with as few layers as are within the bound."""
        enough, few = layers, 0
        while enough - few > 1:
            middle = (enough + few) // 2
            choice = replace(loss, layers=middle)
            measured = self._measured(choice, self._few)
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
        measured = self._measured(self._loss(place, planes), self._few)
        return measured if measured.within(self._allowed) else None

    def _loss(self, place: int, planes: int) -> Loss:
        return Loss(THRESHOLDS[place], self._tolerance.subsampling == HALVED, planes)

    def _measured(self, loss: Loss, numbers: Sequence[int]) -> Measured:
        for number in numbers:
            if number not in self._pixels:
                self._pixels[number] = self._decode(number, None)
                self._exact[number] = self._show(number, self._pixels[number])
        shown = [self._show(number, self._decode(number, loss)) for number in numbers]
        return Measured.of([self._exact[number] for number in numbers], shown)

    def _show(self, number: int, pixels: Pixels) -> Shown:
        return self._native(show, pixels, self._pixels[number], self._tolerance)


def typical(sizes: Sequence[int], count: int) -> Sequence[int]:
    """Return the numbers of a few windows, from the one of fewest bytes, a smooth one, to the one of most."""
    order = sorted(range(len(sizes)), key=lambda number: (sizes[number], number))
    if len(order) <= count:
        return order
    return [order[place * (len(order) - 1) // (count - 1)] for place in range(count)]
