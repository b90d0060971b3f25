"""HTTP and nothing else: each resource tells the story of its requests in a few lines."""

from __future__ import annotations

import errno
import json
import select
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from typing import Final
from urllib.parse import unquote

import falcon
from gevent.monkey import get_original

from sidecar import answers, telemetry
from sidecar.errors import Refusal, Unsupported
from sidecar.handover import behind_nginx
from sidecar.iiif import geometry, info, parse
from sidecar.iiif.canonical import canonical
from sidecar.iiif.geometry import Geometry
from sidecar.iiif.identifier import Identifier
from sidecar.iiif.parse import ImageRequest
from sidecar.interfaces import Blob, EncoderFactory
from sidecar.model import ImageInfo
from sidecar.pipeline import Pipeline
from sidecar.plan import Plan, plan
from sidecar.site import Site

_CONTEXT_3: Final = "http://iiif.io/api/image/3/context.json"


class ClientGone(Refusal, ConnectionResetError):
    """Nobody waits for the answer any more. In the midst of it gunicorn takes this for what it is, and stays quiet."""

    status = 503
    reason = "client-gone"


class BaseResource:
    """`…/iiif/{version}/{identifier}`: leads to info.json."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response, version: int, identifier: str) -> None:
        """Redirect, whether or not there is such an image, as Cantaloupe does (Image API 3.0 §2.2)."""
        telemetry.of(req.env).kind = "base"
        self._site.permit("all")
        self._site.identifier(version, identifier)
        answers.common(resp, self._site.settings.cache_control)
        resp.status = falcon.HTTP_303
        resp.location = f"{self._site.uri(req, version, identifier)}/info.json"

    on_head = on_get


class InfoResource:
    """`…/info.json`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response, version: int, identifier: str) -> None:
        """Describe the image. Raises SidecarError."""
        site = self._site
        telemetry.of(req.env).kind = "info"
        with site.vetted(identifier):
            site.permit("all")
            named = site.identifier(version, identifier)
        blob = site.find(named.name)
        image = site.pipeline.readers.info(blob)
        service, uri = site.service(req), site.uri(req, version, identifier)
        content = info.information(version, uri, image.size, image.tile, service, named.scale)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        tag = answers.etag(blob, text)
        answers.common(resp, site.settings.cache_control)
        answers.validators(resp, tag, None)
        if answers.known(req, tag):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = _json_type(version, req.get_header("Accept") or "")
        resp.text = text

    on_head = on_get


def _json_type(version: int, accept: str) -> str:
    """The media type of info.json that Cantaloupe gives: plain JSON by default in version 2, JSON-LD in version 3."""
    asked = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    if version == 2:  # noqa: PLR2004
        linked = "application/ld+json" in asked
        return "application/ld+json;charset=UTF-8" if linked else "application/json;charset=utf-8"
    plain = "application/json" in asked and "application/ld+json" not in asked
    return f'application/{"json" if plain else "ld+json"};charset=UTF-8;profile="{_CONTEXT_3}"'


class ImageResource:
    """`…/{region}/{size}/{rotation}/{quality}.{format}`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        version: int,
        identifier: str,
        region: str,
        size: str,
        rotation: str,
        quality_format: str,
    ) -> None:
        """Cut, scale and send the picture. Raises SidecarError."""
        telemetry.of(req.env).kind = "image"
        with self._site.vetted(identifier):
            self._site.permit("images")
            named = self._site.identifier(version, identifier)
            parts = [unquote(part) for part in (region, size, rotation, quality_format)]
            self._answer(req, resp, version, identifier, named, parts)

    on_head = on_get

    def _answer(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        version: int,
        segment: str,
        named: Identifier,
        parts: Sequence[str],
    ) -> None:
        """`segment`: the identifier as it came; `parts`: region, size, rotation, quality and format."""
        site = self._site
        event = telemetry.of(req.env)
        if req.get_param("page", default="1") != "1" or req.has_param("time"):
            raise Unsupported("only first pages are read here")
        request = parse.parse(version, parts[0], parts[1], parts[2], parts[3], site.registry.encoders)
        factory = site.registry.encoders[request.format]
        blob = site.find(named.name)
        tag = answers.etag(blob, request, named.scale, factory.settings, site.shown)
        answers.common(resp, site.settings.cache_control)
        answers.validators(resp, tag, blob.last_modified)
        if answers.known(req, tag):
            resp.status = falcon.HTTP_304
            return
        image = site.pipeline.readers.info(blob)
        measured = self._measure(request, image, named.scale)
        # RFC 9110 §13.2.1: a date comes after everything that would refuse the request.
        if answers.unmodified(req, blob.last_modified):
            resp.status = falcon.HTTP_304
            return
        planned = plan(measured, request.quality, image, factory, site.means)
        event.details |= {"size": f"{measured.answer.width}x{measured.answer.height}", "bands": len(planned.bands)}
        self._describe(req, resp, f"{site.uri(req, version, segment)}/", request, measured, named.scale)
        resp.content_type = factory.media_type
        if req.method != "HEAD":
            self._send(req, resp, planned, blob, factory)

    def _measure(self, request: ImageRequest, image: ImageInfo, constraint: Fraction) -> Geometry:
        settings = self._site.settings
        service = info.Service(settings.max_scale, settings.max_pixels, settings.min_size, settings.min_tile_size)
        measured = geometry.measure(
            request,
            image.size,
            max_scale=settings.max_scale,
            max_pixels=settings.max_pixels,
            sizes=info.sizes(image.size, service, constraint) if settings.restrict_to_sizes else None,
            constraint=constraint,
        )
        region, size = measured.region.size, measured.size
        if size != region:
            larger = size.width > region.width or size.height > region.height
            self._site.permit("enlarged" if larger else "scaled")
        return measured

    def _describe(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        base: str,
        request: ImageRequest,
        measured: Geometry,
        constraint: Fraction,
    ) -> None:
        resp.set_header("Link", f'<{base}{canonical(request, measured, constraint)}>;rel="canonical"')
        disposition = answers.disposition(req)
        if disposition:
            resp.set_header("Content-Disposition", disposition)

    def _send(
        self, req: falcon.Request, resp: falcon.Response, planned: Plan, blob: Blob, factory: EncoderFactory
    ) -> None:
        body = self._site.pipeline.start(planned, blob, factory, lambda: _still_there(req), _client(req))
        if planned.large:
            resp.stream = telemetry.of(req.env).body = body
        else:
            # Made whole before it is sent: errors keep their status, and a slow client holds no permit.
            with closing(body):
                resp.data = b"".join(body)


def _still_there(req: falcon.Request) -> None:
    """Raise ClientGone where the connection was closed while the request waited."""
    connection = req.env.get("gunicorn.socket")
    if connection is None:
        return
    # gevent's own recv and poll would wait. POLLRDHUP: the peer has closed its side, whatever it sent before.
    poll = get_original("select", "poll")()
    poll.register(connection.fileno(), select.POLLRDHUP)
    if poll.poll(0):
        raise ClientGone(errno.ECONNRESET, "the client has gone")


def _client(req: falcon.Request) -> str:
    """Who asks, for taking turns: behind our nginx, which adds its peer to X-Forwarded-For, the last one there."""
    forwarded = req.get_header("X-Forwarded-For") or ""
    return forwarded.rpartition(",")[2].strip() if forwarded and behind_nginx(req) else req.remote_addr


class HealthResource:
    """`/sidecar/health`: this worker answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say so."""
        telemetry.of(req.env).kind = "health"
        resp.media = {"status": "ok"}
        resp.set_header("Cache-Control", "no-store")

    on_head = on_get


class MetricsResource:
    """`/sidecar/metrics`: Prometheus' text format."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Give all workers' metrics."""
        telemetry.of(req.env).kind = "metrics"
        telemetry.show(self._pipeline)
        resp.content_type = "text/plain;version=0.0.4;charset=utf-8"
        resp.data = telemetry.exposition()
        resp.set_header("Cache-Control", "no-store")
