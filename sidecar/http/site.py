"""What the resources share: how identifiers are written, which versions are answered, how images are named outside."""

from __future__ import annotations

from dataclasses import dataclass, replace

import falcon

from sidecar.config import Settings
from sidecar.errors import NotFound
from sidecar.http.client import behind_nginx
from sidecar.iiif.identifier import Identifier, IdentifierSyntax
from sidecar.iiif.info import Profile
from sidecar.iiif.uri import public_uri
from sidecar.plugin import Size
from sidecar.render.service import ImageService


@dataclass(frozen=True)
class Site:
    """The image service as it is seen from outside."""

    service: ImageService

    @property
    def settings(self) -> Settings:
        """The core's settings."""
        return self.service.settings

    @property
    def syntax(self) -> IdentifierSyntax:
        """How identifiers are written."""
        settings = self.settings
        return IdentifierSyntax(
            settings.slash_substitute, settings.meta_identifier_delimiter, settings.associated_images
        )

    def identifier(self, version: int, segment: str) -> Identifier:
        """Read the identifier of a request to an enabled endpoint. Raises NotFound, BadRequest, Unsupported."""
        if str(version) not in self.settings.endpoints:
            raise NotFound(f"version {version} of the Image API is not enabled")
        if not segment:
            raise NotFound("the path ends before the identifier")
        return self.syntax.read(segment)

    def uri(self, req: falcon.Request, version: int, segment: str) -> str:
        """Return the image's URI as the client knows it. Raises BadRequest."""
        scheme = str(req.env.get("wsgi.url_scheme", "http"))
        settings = self.settings
        return public_uri(
            version, segment, req.headers, base_uri=settings.base_uri, scheme=scheme, prefix=settings.prefix
        )

    def has_cantaloupe(self, req: falcon.Request) -> bool:
        """Report whether a Cantaloupe stands behind, which answers what the sidecar does not."""
        return bool(self.settings.cantaloupe_url) or behind_nginx(req)

    def profile(self, req: falcon.Request, shown: Size) -> Profile:
        """Return what info.json offers of an image of a size.

        That is what encoders make and, if a Cantaloupe stands behind, what it can do.
        """
        limits, made = self.service.profile(shown), [*self.service.encoders]
        if self.has_cantaloupe(req):
            return replace(limits, formats=[*limits.formats, *(each for each in made if each not in limits.formats)])
        return replace(limits, formats=made, arbitrary_rotation=False)
