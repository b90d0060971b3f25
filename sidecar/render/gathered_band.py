"""The only band of a small response, decoded by the gatherer of the worker: in the place of `sidecar.render.bands`."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.plugin import EXACT, Blob, Pixels
from sidecar.render.gathering import Gatherer, Ticket
from sidecar.render.plan import Plan
from sidecar.render.reader_cache import OpenImage
from sidecar.render.shared_decode import Wanted


def is_gathered(plan: Plan, image: OpenImage) -> bool:
    """Report whether a response is made of one window, which may be decoded with its neighbours."""
    single = not plan.large and len(plan.bands) == 1 and len(plan.bands[0].pieces) == 1
    return single and image.gathering is not None


class GatheredBand:
    """Iterates over the band, which is a `sidecar.render.strips.Source`."""

    def __init__(
        self, plan: Plan, blob: Blob, image: OpenImage, gatherer: Gatherer, client: str, details: dict[str, str | int]
    ) -> None:
        """`details`: where it is noted, for the log, how the band was decoded."""
        # Readers without the power decode every window exactly, whatever hides their errors.
        tolerance = plan.tolerance if image.tolerant else EXACT
        self._wanted = Wanted(blob, image, plan.level, plan.bands[0].region, client, tolerance)
        self._gatherer, self._details = gatherer, details
        self._ticket: Ticket | None = None

    def __iter__(self) -> Iterator[Pixels]:
        """Raises what fetching and decoding raise."""
        self._ticket = self._gatherer.want(self._gatherer.fetch(self._wanted))
        pixels = self._ticket.get()
        self._details |= self._ticket.details
        yield pixels

    def stop(self) -> None:
        """Do nothing: nothing is decoded ahead."""

    def close(self) -> None:
        """Wait until no native call uses what the request has."""
        if self._ticket is not None:
            self._ticket.close()
