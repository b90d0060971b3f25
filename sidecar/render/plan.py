"""Every decision of a request, made once from small integers; nothing after it decides anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sidecar.errors import TooLarge
from sidecar.iiif.geometry import Geometry, Orientation
from sidecar.iiif.orientation import as_stored, orientation_of
from sidecar.plugin import EXACT, EncoderFactory, Frame, HidesErrors, ImageInfo, Rect, Size, Tolerance
from sidecar.render.demands import demands
from sidecar.render.level import choose_level, project
from sidecar.render.lookahead import Lookahead
from sidecar.render.memory_estimate import Output, Work, peak_bytes
from sidecar.render.steps.alpha import DropAlpha, Flatten
from sidecar.render.steps.color import ToSrgb
from sidecar.render.steps.resample import Resample
from sidecar.render.steps.step import Step
from sidecar.render.steps.tone import Binarize, FirstChannel, ToGray
from sidecar.render.tiling import SMALL, Band, BandBudget, split
from sidecar.render.time_estimate import TimeLimits

# A window of more pixels is large even if it cannot be split.
_LARGE: Final = 4 * SMALL
COLORS: Final = 3
"""Channels of a picture that is not grey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to decode, in which order, and what becomes of it. A value: it belongs to no request."""

    level: int
    crop: Rect
    """In pixels of the level."""
    bands: tuple[Band, ...]
    """All of `crop`, in the order in which the response's rows need them."""
    orientation: Orientation
    steps: tuple[Step, ...]
    """From the oriented crop to what the encoder receives, in order."""
    binarize: Binarize | None
    """What follows the steps if the response is black and white."""
    frame: Frame
    rows: int
    """The encoder's strip height."""
    encoded_at_once: bool
    """Whether a call of the encoder takes longer than a tile: made in the background threads."""
    tolerance: Tolerance
    """What hides errors of the pixels that are decoded."""
    unchanged: bool
    """Whether the pixels are encoded as they are decoded: a stored tile may be passed on in their place."""
    lookahead: Lookahead
    peak_bytes: int
    """What fetching, decoding, the steps and encoding hold at once, at most."""
    rest_bytes: int
    """What is held of that between two strips once the bands are dropped."""

    @property
    def large(self) -> bool:
        """Whether it takes longer than a tile: made in the background threads, and sent while it is made."""
        return _is_large(self.bands) or self.frame.size.area > _LARGE


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimits:
    """What a plan may use, and the settings that show in pictures."""

    cores: int
    request_memory: int
    """Bytes that a response should keep to if thinner bands make that possible."""
    memory: int
    """Bytes that no response may exceed."""
    filter: str
    background: tuple[int, int, int]
    srgb: bool = False
    """Whether colours described by a profile are converted to sRGB."""
    pass_tiles: bool = True
    """Whether stored tiles may be passed on."""
    lookahead: Lookahead = field(default_factory=Lookahead)
    time: TimeLimits = field(default_factory=TimeLimits)


def make_plan(
    geometry: Geometry,
    quality: str,
    info: ImageInfo,
    factory: EncoderFactory,
    limits: PlanLimits,
    *,
    opaque: bool = False,
) -> Plan:
    """Decide how a response is made.

    Raises BeyondFormat if the format cannot hold it, TooLarge and TooLong if it cannot be made within the memory and
    the time allowed.

    `geometry` is measured against the image as it is shown; the plan is about pixels as they are stored. `opaque`:
    opacity that is optional is left out.
    """
    opaque = opaque and info.alpha_is_optional and info.channels in (2, 4)
    stored = as_stored(geometry, info.size, orientation_of(info.orientation))
    index = choose_level(info, stored.region, stored.size)
    level = info.levels[index]
    crop = project(stored.region, level)
    turned = stored.orientation.quarter_turns % 2 == 1
    source = crop.size.turned if turned else crop.size
    target = geometry.answer
    frame = _frame(target, quality, info, factory, opaque=opaque)
    frame_sent = replace(frame, icc=None) if limits.srgb else frame
    demanded = demands(factory, frame_sent)
    # Cantaloupe turns the image upright before it scales, and turns it as requested after that.
    resample = None if source == target else Resample(source, target, limits.filter, geometry.orientation)
    lookahead = limits.lookahead
    bands = split(
        level,
        crop,
        stored.orientation,
        BandBudget(limits.request_memory, info.channels, lookahead.held, limits.cores),
    )
    limits.time.check(level, bands, limits.cores)
    output = Output(
        frame=frame_sent,
        rows=demanded.rows,
        steps=tuple(
            _steps(resample, quality, info, frame, limits, turned=geometry.orientation.quarter_turns > 0, opaque=opaque)
        ),
        binarize=Binarize() if quality == "bitonal" else None,
        encoder_bytes=demanded.memory,
    )
    peak = peak_bytes(level, _work(bands, source, info.channels, limits, across=turned), output)
    if peak > limits.memory:
        raise TooLarge(peak, limits.memory)
    return Plan(
        level=index,
        crop=crop,
        bands=bands,
        orientation=stored.orientation,
        steps=tuple(output.steps),
        binarize=output.binarize,
        frame=frame_sent,
        rows=demanded.rows,
        encoded_at_once=demanded.at_once,
        tolerance=_tolerance(factory, frame_sent, output.steps, crop.size, target),
        unchanged=limits.pass_tiles and _is_unchanged(output, stored.orientation, info),
        lookahead=lookahead,
        peak_bytes=peak,
        # Of black and white, all pixels are held before the first byte is made.
        rest_bytes=peak if output.binarize else output.encoder_bytes,
    )


def _is_unchanged(output: Output, orientation: Orientation, info: ImageInfo) -> bool:
    frame = output.frame
    same = (frame.channels, frame.icc) == (info.channels, info.icc)
    return same and not output.steps and not output.binarize and orientation == Orientation()


def _tolerance(factory: EncoderFactory, frame: Frame, steps: Sequence[Step], source: Size, target: Size) -> Tolerance:
    """Return what the file hides of the pixels that are decoded.

    It is known of pixels that come to the encoder as they are, or scaled down from less than twice their size. Others
    are exact: enlarged ones, converted colours, grey ones of colours, black and white.
    """
    larger = target.area > source.area
    if not isinstance(factory, HidesErrors) or frame.bitonal or larger or any(_changes(step) for step in steps):
        return EXACT
    tolerance = factory.tolerance
    return tolerance if frame.channels >= COLORS else replace(tolerance, subsampling="gray")


def _changes(step: Step) -> bool:
    return isinstance(step, (ToSrgb, ToGray, FirstChannel))


def _frame(target: Size, quality: str, info: ImageInfo, factory: EncoderFactory, *, opaque: bool) -> Frame:
    color = COLORS if info.channels >= COLORS else 1
    alpha = info.channels in (2, 4) and factory.alpha and quality != "bitonal" and not opaque
    grayed = quality in ("gray", "bitonal")
    channels = (1 if grayed else color) + alpha
    # An RGB profile does not describe grey pixels (ICC.1 §7.2.8, "data colour space").
    icc = info.icc if not grayed or color == 1 else None
    return Frame(size=target, channels=channels, icc=icc, bitonal=quality == "bitonal")


def _steps(
    resample: Resample | None,
    quality: str,
    info: ImageInfo,
    frame: Frame,
    limits: PlanLimits,
    *,
    turned: bool,
    opaque: bool,
) -> Iterator[Step]:
    if opaque:
        yield DropAlpha()
    icc = info.icc if limits.srgb else None
    # Cantaloupe's decoder makes three colours of grey with a profile, and so does whatever turns a picture.
    colors = icc is not None or turned
    # Cantaloupe's decoder converts before anything is scaled.
    if icc is not None:
        yield ToSrgb(icc)
    if resample:
        yield resample
    if quality == "gray":
        yield ToGray(colors)
    if info.channels in (2, 4) and not frame.alpha and not opaque:
        yield Flatten(limits.background)
    if quality == "bitonal":
        yield FirstChannel(colors)


def _work(bands: tuple[Band, ...], source: Size, channels: int, limits: PlanLimits, *, across: bool) -> Work:
    pieces = sorted((piece.size.area for band in bands for piece in band.pieces), reverse=True)
    # Of a small response all pieces are in native threads at once, of a large one as many as there are cores.
    together = limits.cores if _is_large(bands) else max(limits.cores, len(pieces))
    largest = sorted((band.region.size.area for band in bands), reverse=True)
    return Work(
        source=source,
        channels=channels,
        thickest=max(band.region.width if across else band.region.height for band in bands),
        decoding=pieces[:together],
        fetched=sum(largest[: limits.lookahead.fetched]) + sum(pieces[:together]),
        lookahead=limits.lookahead,
    )


def _is_large(bands: tuple[Band, ...]) -> bool:
    return len(bands) > 1 or bands[0].region.size.area > _LARGE
