"""What resources answer from: settings, plugins and the pipeline, and the questions that every request asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import falcon

from sidecar.config import Settings
from sidecar.errors import BadRequest, Elsewhere, NotFound, Unsupported, UnsupportedFormat
from sidecar.handover import behind_nginx
from sidecar.iiif import info
from sidecar.iiif.identifier import Identifier, decode, named, public_uri
from sidecar.interfaces import Blob
from sidecar.pipeline import Pipeline
from sidecar.plan import Means
from sidecar.registry import Registry


@dataclass(frozen=True)
class Site:
    """What resources answer from."""

    settings: Settings
    registry: Registry
    pipeline: Pipeline
    means: Means

    @property
    def shown(self) -> tuple[object, ...]:
        """The settings that show in pictures: part of their ETags, and the same on every machine set up alike."""
        settings = self.settings
        limits = (
            settings.max_scale,
            settings.max_pixels,
            settings.restrict_to_sizes,
            settings.min_size,
            settings.hand_over,
        )
        return (settings.downscale_filter, settings.background_color, settings.color, *limits)

    def identifier(self, version: int, segment: str) -> Identifier:
        """The identifier of a request to an enabled endpoint. Raises NotFound, BadRequest, Unsupported."""
        if str(version) not in self.settings.endpoints:
            raise NotFound(f"version {version} of the Image API is not answered here")
        if not segment:
            raise NotFound("the path ends where an identifier should stand")
        return decode(segment, self.settings.slash_substitute, self.settings.meta_identifier_delimiter)

    def find(self, name: str) -> Blob:
        """The blob of an identifier, from the first source that knows it. Raises NotFound, SourceError."""
        for source in self.registry.sources:
            blob = source.find(name)
            if blob is not None:
                return blob
        raise NotFound(f"no image is known by the identifier {name!r}")

    @contextmanager
    def vetted(self, segment: str) -> Iterator[None]:
        """Where the context raises what hands a request over, look at the image first: Malformed goes nowhere.

        Unless images are guarded: then nothing is looked at.
        """
        try:
            yield
        except (BadRequest, Unsupported, UnsupportedFormat):
            if not self._guarded:
                self._vet(segment)
            raise

    def _vet(self, segment: str) -> None:
        with suppress(Elsewhere):
            name = named(segment, self.settings.slash_substitute, self.settings.meta_identifier_delimiter)
            self.pipeline.readers.info(self.find(name))

    def permit(self, extent: str) -> None:
        """Raise Unsupported where Cantaloupe's settings make requests of an extent its own."""
        settings = self.settings
        if self._guarded:
            raise Unsupported(f"images may be guarded: {settings.guarded}")
        order = ("", "enlarged", "scaled", "images", "all")
        if settings.hand_over and order.index(settings.hand_over) >= order.index(extent):
            raise Unsupported("Cantaloupe's settings make this request its own")

    @property
    def _guarded(self) -> bool:
        return bool(self.settings.guarded) and not self.settings.authorization_is_done_in_front

    def uri(self, req: falcon.Request, version: int, segment: str) -> str:
        """The image's URI as the client knows it. Raises BadRequest."""
        scheme = str(req.env.get("wsgi.url_scheme", "http"))
        return public_uri(version, segment, req.headers, base_uri=self.settings.base_uri, scheme=scheme)

    def service(self, req: falcon.Request) -> info.Service:
        """What info.json says is offered: all that Cantaloupe can where one stands behind, else what encoders make."""
        settings = self.settings
        limits = info.Service(settings.max_scale, settings.max_pixels, settings.min_size, settings.min_tile_size)
        if settings.cantaloupe_url or behind_nginx(req):
            return limits
        return replace(limits, formats=[*self.registry.encoders], arbitrary_rotation=False)
