"""`…/info.json`, and the redirect to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import falcon

from sidecar.http import conditional, headers, properties
from sidecar.http.services import HEADER, read_services, with_services
from sidecar.http.site import Site
from sidecar.iiif.identifier import Identifier
from sidecar.iiif.info import information
from sidecar.iiif.orientation import orientation_of
from sidecar.iiif.physical_scale import physical_scale
from sidecar.plugin import ImageInfo
from sidecar.render.etag import etag


class InfoResource:
    """Describes images."""

    kind: Final = "info"

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response, version: int, identifier: str) -> None:
        """Answer a request. Raises SidecarError."""
        site, service = self._site, self._site.service
        service.policy.check("all")
        found = site.identifier(version, identifier)
        blob = service.located(found)
        image = service.info(blob)
        shown = orientation_of(image.orientation).apply
        uri, profile = site.uri(req, version, identifier), site.profile(req, shown(image.size))
        tile = shown(image.tile) if image.tile else None
        content = information(version, uri, shown(image.size), tile, profile, found.scale)
        if service.properties(blob):
            content |= properties.link(version, uri)
        content = with_services(content, [*self._services(req, version, uri, image, found)])
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        tag = etag(blob, text)
        headers.common(resp, site.settings.cache_control)
        headers.validators(resp, tag, None)
        if conditional.matches(req, tag) or conditional.matches_any(req):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = headers.json_type(version, req.get_header("Accept") or "")
        resp.text = text

    on_head = on_get

    def _services(
        self, req: falcon.Request, version: int, uri: str, image: ImageInfo, found: Identifier
    ) -> Iterator[Mapping[str, Any]]:
        settings = self._site.settings
        if settings.info_physical_scale and image.pixel_micrometres:
            yield physical_scale(version, uri, image.pixel_micrometres, found.scale)
        if settings.info_services:
            yield from read_services(req.get_header(HEADER) or "")


class RedirectResource:
    """`…/iiif/{version}/{identifier}`: leads to info.json."""

    kind: Final = "base"

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response, version: int, identifier: str) -> None:
        """Redirect, whether or not there is such an image, as Cantaloupe does (Image API 3.0 §2.2)."""
        self._site.service.policy.check("all")
        self._site.identifier(version, identifier)
        headers.common(resp, self._site.settings.cache_control)
        resp.status = falcon.HTTP_303
        resp.location = f"{self._site.uri(req, version, identifier)}/info.json"

    on_head = on_get
