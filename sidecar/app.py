"""Wiring only: settings and plugins become a WSGI application."""

from __future__ import annotations

import os
from contextlib import nullcontext
from urllib.parse import unquote

import falcon

from sidecar import casualties, memory, startup, telemetry
from sidecar.casualties import Casualties, Notebook
from sidecar.config import Config, Settings
from sidecar.cores import Cores
from sidecar.deadline import Timed
from sidecar.errors import NotAllowed, NotFound, SidecarError
from sidecar.handover import Handover, target, unforeseen
from sidecar.native import NativePool
from sidecar.permits import Permits
from sidecar.pipeline import Pipeline
from sidecar.plan import Means
from sidecar.readers import Readers
from sidecar.registry import Registry
from sidecar.resources import BaseResource, HealthResource, ImageResource, InfoResource, MetricsResource
from sidecar.service import Readiness, ReadyResource, Service
from sidecar.site import Site

_IMAGE = "/iiif/{version:int(1)}/{identifier}"


class RawPath:
    """Routes by the path as it came: percent-encoded, so that `%2F` inside an identifier stays inside."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Take the path from RAW_URI, which gunicorn keeps as it was on the request line."""
        if "RAW_URI" in req.env:
            req.path = target(req).partition("?")[0]


class ReadOnly:
    """Lets GET and HEAD in; the rest is Cantaloupe's."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Raise NotAllowed for all others."""
        if req.method not in ("GET", "HEAD"):
            telemetry.of(req.env).kind = "method"
            raise NotAllowed(f"{req.method} is not understood here; GET and HEAD are")


def create_app(
    config: Config, registry: Registry, pool: NativePool | None = None, notebook: Notebook | None = None
) -> Service:
    """The WSGI application of one worker."""
    settings = config.core
    small = pool or NativePool(settings.threads)
    known = Casualties(casualties.folder(), settings.quarantine)
    cores = Cores(len(os.sched_getaffinity(0)), casualties.folder())
    budget = memory.budget(settings.memory, settings.workers)
    large = settings.large or max(1, cores.count // settings.workers)
    permits = Permits(budget, settings.queue, settings.patience, large)
    pipeline = Pipeline(
        readers=Readers(registry, settings.readers, known, small.note),
        permits=permits,
        pool=small,
        bulk=NativePool(cores.count, nice=5, note=small.note, share=cores.share),
        cores=cores,
    )
    site = Site(settings, registry, pipeline, _means(settings, permits, cores.count))
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App(middleware=[RawPath(), ReadOnly()])
    app.req_options.strip_url_path_trailing_slash = False
    image = ImageResource(site)
    app.add_route(_IMAGE, BaseResource(site))
    app.add_route(_IMAGE + "/info.json", InfoResource(site))
    app.add_route(_IMAGE + "/{region}/{size}/{rotation}/{quality_format}", image)
    app.add_route("/sidecar/health", HealthResource())
    readiness = Readiness(permits)
    app.add_route("/sidecar/ready", ReadyResource(readiness))
    app.add_route("/sidecar/metrics", MetricsResource(pipeline))
    app.add_sink(_nowhere)
    app.add_error_handler(Exception, unforeseen)
    app.add_error_handler(SidecarError, Handover(settings.cantaloupe_url))
    observed = telemetry.Observed(Timed(app, settings.first_byte_timeout, settings.total_timeout))
    return Service(observed, settings, registry, pipeline, readiness, known, notebook)


def _nowhere(req: falcon.Request, resp: falcon.Response, **_: str) -> None:
    del resp
    raise NotFound(f"{unquote(req.path)!r} is not a path of the IIIF Image API")


def _means(settings: Settings, permits: Permits, cores: int) -> Means:
    color = settings.background_color
    return Means(
        cores=cores,
        request_memory=settings.request_memory,
        memory=permits.largest(large=True),
        filter=settings.downscale_filter,
        background=(int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)),
        srgb=settings.color == "srgb",
    )


def get_app() -> Service:
    """The application as gunicorn runs it: settings from the environment, plugins as installed."""
    found = startup.setup()
    settings = found.config.core
    telemetry.configure(settings.log_level)
    shared = casualties.folder()
    notebook = Notebook(shared, os.getpid()) if shared else None
    pool = NativePool(settings.threads, note=notebook.noted if notebook else nullcontext)
    return create_app(found.config, found.plugins.load(found.config, pool), pool, notebook)
