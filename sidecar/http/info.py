"""`…/info.json`, and the redirect to it."""

from __future__ import annotations

import json
from typing import Final

import falcon

from sidecar.http import conditional, headers
from sidecar.http.services import HEADER, read_services, with_services
from sidecar.http.site import Site
from sidecar.iiif.info import information
from sidecar.iiif.orientation import orientation_of
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
        blob = service.blob(found.name)
        image = service.info(blob)
        shown = orientation_of(image.orientation).apply
        uri, profile = site.uri(req, version, identifier), site.profile(req, shown(image.size))
        tile = shown(image.tile) if image.tile else None
        content = information(version, uri, shown(image.size), tile, profile, found.scale)
        if site.settings.info_services:
            content = with_services(content, read_services(req.get_header(HEADER) or ""))
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
