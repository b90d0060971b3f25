"""Pictures: `…/{region}/{size}/{rotation}/{quality}.{format}`."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import falcon

from sidecar.errors import Unsupported
from sidecar.http import conditional, headers
from sidecar.http.client import client_of
from sidecar.http.site import Site
from sidecar.iiif.canonical import canonical
from sidecar.iiif.parse import parse
from sidecar.iiif.request import ImageRequest
from sidecar.observability.event import event_of
from sidecar.render.service import Planned


class ImageResource:
    """Cuts, scales and sends pictures."""

    kind: Final = "image"

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response, version: int, identifier: str, **path: str) -> None:
        """Answer a request. Raises SidecarError."""
        service = self._site.service
        service.policy.check("images")
        # One image looks the same whoever answers.
        opaque = self._site.has_cantaloupe(req)
        found = service.find(self._parse(req, version, identifier, path), opaque=opaque)
        headers.common(resp, self._site.settings.cache_control)
        headers.validators(resp, found.etag, found.blob.last_modified, weak=found.weak)
        if conditional.matches(req, found.etag):  # nothing is opened
            resp.status = falcon.HTTP_304
            return
        planned = service.plan(found)
        uri = self._site.uri(req, version, identifier)
        # RFC 9110 §13.2.1: `*` and a date come after everything that would refuse the request.
        if conditional.matches_any(req) or conditional.unmodified(req, found.blob.last_modified):
            resp.status = falcon.HTTP_304
            return
        self._describe(req, resp, f"{uri}/", planned)
        if req.method == "HEAD":
            # Without a body Falcon sends `Content-Length: 0`; the length of GET's is only known once it is encoded, and
            # none is right as well (RFC 9110 §8.6, §9.3.2).
            resp.stream = iter(())
        else:
            self._send(req, resp, planned)

    on_head = on_get

    def _parse(self, req: falcon.Request, version: int, segment: str, path: dict[str, str]) -> ImageRequest:
        identifier = self._site.identifier(version, segment)
        if req.get_param("page", default="1") != "1" or req.has_param("time"):
            raise Unsupported("only first pages are read here")
        parts = [unquote(path[name]) for name in ("region", "size", "rotation", "quality_format")]
        region, size, rotation, quality_format = parts
        encoders = self._site.service.encoders
        return ImageRequest(identifier, parse(version, region, size, rotation, quality_format, encoders))

    def _describe(self, req: falcon.Request, resp: falcon.Response, base: str, planned: Planned) -> None:
        request, geometry = planned.found.request, planned.geometry
        link = canonical(request.parameters, geometry, request.identifier.scale)
        resp.set_header("Link", f'<{base}{link}>;rel="canonical"')
        disposition = headers.disposition(req)
        if disposition:
            resp.set_header("Content-Disposition", disposition)
        resp.content_type = planned.found.factory.media_type
        size = geometry.answer
        event_of(req.env).details |= {
            "size": f"{size.width}x{size.height}",
            "bands": len(planned.plan.bands),
            "promised": planned.plan.peak_bytes,
        }

    def _send(self, req: falcon.Request, resp: falcon.Response, planned: Planned) -> None:
        service, event = self._site.service, event_of(req.env)
        if planned.plan.large:
            resp.stream = event.body = stream = service.render_streamed(planned, client_of(req))
            event.details |= stream.details
        else:
            # Made whole before it is sent: errors keep their status, and a slow client holds what it is sent.
            whole = service.render_whole(planned, client_of(req))
            resp.data, event.over = whole.data, whole.over
            event.details |= whole.details
