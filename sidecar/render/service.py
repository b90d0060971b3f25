"""A request's story without HTTP: find, plan, render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property

from sidecar.config import Extent, Settings
from sidecar.errors import Forbidden, HandOver, NotFound, TooLarge
from sidecar.iiif import geometry
from sidecar.iiif import info as info_json
from sidecar.iiif.geometry import Geometry
from sidecar.iiif.identifier import Identifier
from sidecar.iiif.info import Profile
from sidecar.iiif.orientation import HEEDED, orientation_of
from sidecar.iiif.request import ImageRequest
from sidecar.limits.access_policy import AccessPolicy
from sidecar.observability.work import CURRENT
from sidecar.plugin import Blob, EncoderFactory, HidesErrors, ImageInfo, Size, Source
from sidecar.plugin.description import Value
from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.etag import etag
from sidecar.render.image_blob import ImageBlob
from sidecar.render.plan import Plan, PlanLimits, make_plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.renderer import Renderer
from sidecar.render.shared_stream import Reader
from sidecar.render.streamed_responses import StreamedResponses
from sidecar.render.whole_responses import Whole, WholeResponses


@dataclass(frozen=True, slots=True)
class Found:
    """A request, the bytes behind it, and the validator of its response. Nothing is opened yet."""

    request: ImageRequest
    blob: Blob
    factory: EncoderFactory
    etag: str
    weak: bool
    """Whether the ETag is a weak one (RFC 9110 §8.8.1): responses look alike, and need not have the same bytes."""
    opaque: bool
    """Whether opacity that is optional is left out."""


@dataclass(frozen=True, slots=True)
class Planned:
    """How a request is answered."""

    found: Found
    geometry: Geometry
    plan: Plan


@dataclass(frozen=True)
class ImageService:
    """Answers parsed requests. HTTP, `explain`, the benchmarks and the tests stand around it."""

    settings: Settings
    sources: Sequence[Source]
    encoders: Mapping[str, EncoderFactory]
    """By IIIF format."""
    renderer: Renderer
    limits: PlanLimits
    policy: AccessPolicy
    loss: str = ""
    """All that changes what decoders lose, see MayLose; empty: nothing is lost."""
    whole: WholeResponses = field(default_factory=WholeResponses)
    streamed: StreamedResponses = field(default_factory=StreamedResponses)

    def profile(self, shown: Size) -> Profile:
        """Return the limits that an image of a size has."""
        settings = self.settings
        return Profile(settings.max_scale, self._most_pixels(shown), settings.min_size, settings.min_tile_size)

    def find(self, request: ImageRequest, *, opaque: bool = False) -> Found:
        """Find the image, without opening it; `opaque` as in `make_plan`. Raises NotFound, SourceError."""
        blob = self.located(request.identifier)
        parameters = request.parameters
        factory = self.encoders[parameters.format]
        if work := CURRENT.get():
            work.encoder = factory.format
        weak = bool(self.loss) and parameters.quality != "bitonal" and parameters.format in self._hiding
        loss = self.loss if weak else ""
        # Decoders differ a little in the pixels that they make of a lossy file.
        decoders = (*self.renderer.readers.asked(blob.name),)
        tag = etag(blob, parameters, request.identifier.scale, factory.settings, self._shown, opaque, loss, decoders)
        return Found(request, blob, factory, tag, weak, opaque)

    def plan(self, found: Found) -> Planned:
        """Measure the request against the image and plan the response. Called in a greenlet; reads the header once.

        Raises what opening the image raises, BadRequest, BeyondFormat, Forbidden, TooLarge, TooLong, Unsupported.
        """
        image = self.info(found.blob)
        measured = self._measure(found.request, image)
        quality = found.request.parameters.quality
        made = make_plan(measured, quality, image, found.factory, self.limits, opaque=found.opaque)
        return Planned(found, measured, made)

    def render(self, planned: Planned, client: Client) -> Body:
        """Begin the response and make its first chunk. Raises what fetching, decoding and encoding raise."""
        return self.renderer.start(planned.plan, planned.found.blob, planned.found.factory, client)

    def render_whole(self, planned: Planned, client: Client) -> Whole:
        """Make the response, or wait for an identical one that is under way. Raises as `render`."""
        return self.whole.get(planned.found.etag, lambda maker: self.render(planned, maker), client)

    def render_streamed(self, planned: Planned, client: Client) -> Reader:
        """Begin the response, or join an identical one that is under way. Raises as `render`."""
        found, frame = planned.found, planned.plan.frame
        return self.streamed.get(found.etag, frame, lambda maker: self.render(planned, maker), client)

    def blob(self, name: str) -> Blob:
        """Return the blob of the first source that knows the name. Raises NotFound, SourceError."""
        for source in self.sources:
            with plugin_call(source.name, name):
                blob = source.find(name)
            if blob is not None:
                if work := CURRENT.get():
                    work.source = source.name
                return blob
        raise NotFound(f"no image has the identifier {name!r}")

    def located(self, identifier: Identifier) -> Blob:
        """Return the blob of an image, be it one that a file holds beside its own. Raises NotFound, SourceError."""
        blob = self.blob(identifier.name)
        companions = self.renderer.readers.companions(blob)
        return ImageBlob(blob, identifier.associated, companions) if identifier.associated or companions else blob

    def properties(self, blob: Blob) -> Mapping[str, Value]:
        """Return the properties of a file that clients may see. Raises what opening it raises."""
        allowed = self.settings.properties
        if not allowed:
            return {}
        with self.renderer.readers.lease(blob) as image, plugin_call(image.decoder, blob.name):
            every = image.stating.properties() if image.stating else {}
        return {name: value for name, value in every.items() if any(fnmatchcase(name, each) for each in allowed)}

    def info(self, blob: Blob) -> ImageInfo:
        """Return what an image is; its orientation is 1 if it is not heeded. Raises what opening it raises."""
        image = self.renderer.readers.info(blob)
        return image if image.orientation in HEEDED[self.settings.orientation] else replace(image, orientation=1)

    def refuse_malformed(self, name: str) -> None:
        """Raise Malformed if the image is; return if it is not, is unknown, or cannot be opened for another reason.

        Called before a request is handed over. Guarded images are not looked at.
        """
        if not self.policy.guarded_by:
            with suppress(HandOver):
                self.info(self.located(Identifier(name)))

    @cached_property
    def _hiding(self) -> frozenset[str]:
        """The formats whose files hide errors of the pixels."""
        return frozenset(name for name, factory in self.encoders.items() if _hides(factory))

    @cached_property
    def _shown(self) -> tuple[object, ...]:
        """The settings that show in pictures."""
        settings = self.settings
        limits = (
            settings.max_scale,
            self.fitting_pixels if settings.max_pixels is None else settings.max_pixels,
            settings.restrict_to_sizes,
            settings.min_size,
            settings.hand_over,
        )
        how = (settings.downscale_filter, settings.background_color, settings.color, settings.orientation)
        return (*how, settings.pass_tiles, *limits)

    @cached_property
    def fitting_pixels(self) -> int:
        """The largest response in pixels if none is set: a byte of each fits into what one response may have.

        So much of a response is held at once, at most, however it is made: a bitonal one needs all of its pixels before
        the first can be sent. Rounded down to a power of two, so that it is the same on machines that are almost the
        same.
        """
        return 1 << (self.limits.memory.bit_length() - 1)

    def _most_pixels(self, shown: Size) -> int:
        """Return the largest response in pixels; 0 for no limit, as for an image all of which fits."""
        set_by_hand = self.settings.max_pixels
        if set_by_hand is not None:
            return set_by_hand
        return self.fitting_pixels if shown.area > self.fitting_pixels else 0

    def _measure(self, request: ImageRequest, image: ImageInfo) -> Geometry:
        shown = orientation_of(image.orientation).apply(image.size)
        if self.settings.max_pixels is None:
            measured = self._measured_to_fit(request, shown)
        else:
            measured = self._measured(request, shown, self.settings.max_pixels)
        region, size = measured.region.size, measured.size
        if size != region:
            larger = size.width > region.width or size.height > region.height
            extent: Extent = "enlarged" if larger else "scaled"
            self.policy.check(extent)
        return measured

    def _measured_to_fit(self, request: ImageRequest, shown: Size) -> Geometry:
        """Measure a request if nobody has set the largest response: Cantaloupe has no such limit, and is spared it."""
        try:
            measured = self._measured(request, shown, self._most_pixels(shown))
        except Forbidden:
            measured = self._measured(request, shown, 0)
        if measured.size.area > self.fitting_pixels:
            raise TooLarge(measured.size.area, self.fitting_pixels)
        return measured

    def _measured(self, request: ImageRequest, shown: Size, most: int) -> Geometry:
        settings, constraint = self.settings, request.identifier.scale
        return geometry.measure(
            request.parameters,
            shown,
            max_scale=settings.max_scale,
            max_pixels=most,
            sizes=info_json.sizes(shown, self.profile(shown), constraint) if settings.restrict_to_sizes else None,
            constraint=constraint,
        )


def _hides(factory: EncoderFactory) -> bool:
    return isinstance(factory, HidesErrors) and not factory.tolerance.exact
