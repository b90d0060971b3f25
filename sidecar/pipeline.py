"""From a plan to the chunks of an answer: bands are decoded ahead while strips are scaled, encoded and sent.

Pulled by the socket: it asks `Body` for a chunk, which asks the encoder, which asks for a strip, which asks for a band.
Nothing is queued, so a slow client costs the bands in hand and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from sidecar import color, transform
from sidecar.bands import Bands
from sidecar.cores import Cores
from sidecar.errors import EncodeError, Overloaded
from sidecar.holding import Holding
from sidecar.interfaces import Blob, Encoder, EncoderFactory
from sidecar.model import Pixels
from sidecar.native import Calls, NativePool, Pool
from sidecar.permits import Permits
from sidecar.plan import Plan
from sidecar.readers import Readers
from sidecar.transform import Rows


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of the oriented source that some rows of the answer are made from."""

    parts: Sequence[Pixels]
    have: Rows
    wanted: Rows


def strips(plan: Plan, bands: Iterable[Pixels]) -> Iterator[Strip]:
    """Regroup bands (views, no copies) into what each strip of the answer needs."""
    held: deque[tuple[int, Pixels]] = deque()
    source = iter(bands)
    end = 0
    for start in range(0, plan.frame.size.height, plan.rows):
        wanted = Rows(start, min(start + plan.rows, plan.frame.size.height))
        need = plan.scaling.rows(wanted) if plan.scaling else wanted
        while end < need.stop:
            band = transform.orient(next(source), plan.orientation)
            held.append((end, band))
            end += len(band)
        while held[0][0] + len(held[0][1]) <= need.start:
            held.popleft()
        yield Strip([_cut(at, band, need) for at, band in held if at < need.stop], need, wanted)


def _cut(at: int, band: Pixels, need: Rows) -> Pixels:
    return band[max(0, need.start - at) : need.stop - at]


def finish(plan: Plan, strip: Strip) -> Pixels:
    """The pixels of a strip in the answer's size and channels. Runs in a native thread."""
    pixels = strip.parts[0] if len(strip.parts) == 1 else np.concatenate(strip.parts)
    if plan.scaling:
        pixels = plan.scaling.apply(pixels, strip.have, strip.wanted)
    if plan.profile is not None:
        pixels = color.to_srgb(pixels, plan.profile)
    if plan.quality == "gray":
        pixels = transform.gray(pixels)
    if pixels.shape[2] in (2, 4) and not plan.frame.alpha:
        pixels = transform.flatten(pixels, plan.background)
    if plan.quality == "bitonal":
        pixels = transform.red(pixels)
    return np.ascontiguousarray(pixels)


def binarize(plan: Plan, parts: Iterable[Strip], pool: Pool) -> Iterator[Pixels]:
    """Strips of black and white. Where to part them only the whole picture tells, so one channel of it is held."""
    grays = [pool(_finished, plan, strip) for strip in parts]
    threshold = pool(lambda: transform.otsu(np.sum([np.bincount(gray.ravel(), minlength=256) for gray in grays], 0)))
    for gray in grays:
        yield pool(transform.bitonal, gray, threshold)


def encode(plan: Plan, parts: Iterable[Strip], encoder: Encoder, pool: Pool) -> Iterator[bytes]:
    """The file's chunks, each strip finished and encoded in a native thread."""
    if plan.quality == "bitonal":
        written = (pool(encoder.write, strip) for strip in binarize(plan, parts, pool))
    else:
        written = (pool(_write, plan, strip, encoder) for strip in parts)
    yield from filter(None, written)
    yield from filter(None, [pool(encoder.finish)])


def _write(plan: Plan, strip: Strip, encoder: Encoder) -> bytes:
    return encoder.write(_finished(plan, strip))


def _finished(plan: Plan, strip: Strip) -> Pixels:
    """As `finish`, with the errors of the libraries beneath mapped to ours."""
    try:
        return finish(plan, strip)
    except MemoryError as error:
        raise Overloaded("there is no memory for this answer; try again later") from error
    except (ValueError, OSError) as error:
        raise EncodeError(f"a strip could not be scaled: {error}") from error


class Body:
    """The answer's chunks. It owns permit and reader from birth, read or not; `close` gives them back.

    An object and not a generator: closing a generator that was never started runs none of its `finally`.
    """

    def __init__(
        self, first: bytes, rest: Iterator[bytes], owned: Holding, proceed: Callable[[], None] = lambda: None
    ) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self._owned = owned
        self._proceed = proceed

    def __iter__(self) -> Iterator[bytes]:
        """The chunks, once."""
        return self

    def __next__(self) -> bytes:
        """The next chunk; what goes wrong here breaks the connection, which is all that is left to say."""
        first, self._first = self._first, None
        if first is not None:
            return first
        self._proceed()
        try:
            return next(self._rest)
        except StopIteration:
            raise
        except BaseException as error:
            # Told of the failure, the lease closes its reader instead of keeping it.
            self._owned.__exit__(type(error), error, error.__traceback__)
            raise

    def close(self) -> None:
        """Wait out the decode in flight, give back the reader, then the permit; see Holding."""
        self._owned.close()


@dataclass(frozen=True)
class Pipeline:
    """What answers are made with; one a worker."""

    readers: Readers
    permits: Permits
    pool: NativePool
    """For small work and for strips."""
    bulk: NativePool
    """For the bands of large answers: it gives way to `pool`."""
    cores: Cores = field(default_factory=Cores)
    """Told of large answers."""

    def start(
        self, plan: Plan, blob: Blob, factory: EncoderFactory, proceed: Callable[[], None], client: str = ""
    ) -> Body:
        """Begin an answer and make its first chunk, so that what fails early can still be told with a status.

        `proceed` is called while the permit is waited for, once it is had, and before each further chunk: it may
        raise, where nobody waits for the answer any more. `client`: whose turn it is when memory comes free.
        """
        owned = Holding()
        try:
            permit = self.permits.take(plan.peak_bytes, large=plan.large, client=client, proceed=proceed)
            if plan.large:
                owned.enter_context(self.cores.used())
            owned.enter_context(permit)
            proceed()
            reader = owned.enter_context(self.readers.lease(blob))
            reading = owned.enter_context(closing(Calls(self.bulk if plan.large else self.pool, blob.etag)))
            writing = owned.enter_context(closing(Calls(self.pool, blob.etag)))
            bands = owned.enter_context(closing(Bands(plan, blob, reader, reading)))
            chunks = encode(plan, strips(plan, bands), factory.start(plan.frame), writing)
            return Body(next(chunks), chunks, owned, proceed)
        except BaseException as error:
            owned.__exit__(type(error), error, error.__traceback__)
            raise
