"""Routes and middleware, each in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import falcon

from sidecar.errors import NotFound, SidecarError
from sidecar.http.admin import HealthResource, MetricsResource, ReadyResource
from sidecar.http.error_responder import ErrorResponder
from sidecar.http.explained_requests import ExplainedRequests
from sidecar.http.gate import GateResource
from sidecar.http.handover import Handover
from sidecar.http.image import ImageResource
from sidecar.http.info import InfoResource, RedirectResource
from sidecar.http.middleware import AsciiOnly, Kind, Observed, RawPath, ReadOnly, Wsgi
from sidecar.http.pages import pages
from sidecar.http.prefix import Prefixed
from sidecar.http.properties import NAME, PropertiesResource
from sidecar.http.readiness import Readiness
from sidecar.http.site import Site
from sidecar.http.status_report import StatusReport
from sidecar.http.time_limits import Timed, Times
from sidecar.http.trust import TrustedOnly
from sidecar.http.visitors import Visitors
from sidecar.observability.metrics import Gauges
from sidecar.render.service import ImageService

_NOTHING_MORE: Final[Mapping[str, object]] = {}
_IMAGE = "/iiif/{version:int(1)}/{identifier}"


def make_app(service: ImageService, readiness: Readiness, gauges: Gauges, report: StatusReport) -> Wsgi:
    """Return the WSGI application around an image service."""
    settings, admission = service.settings, service.renderer.admission
    answering = make_api(
        service,
        {
            **pages(Site(service), report, Handover(settings).proxy),
            "/sidecar/gate": GateResource(Site(service)),
            "/sidecar/health": HealthResource(),
            "/sidecar/ready": ReadyResource(readiness, _plugins(service)),
            "/sidecar/metrics": MetricsResource(gauges),
        },
    )
    timed = Timed(answering, Times.of(settings), lambda: admission.waiting > 0)
    explained = ExplainedRequests(settings.explain_responses, Visitors(settings.status_networks))
    return TrustedOnly(Observed(timed, report.book, explained.wants), settings.trusted_proxies)


def make_api(service: ImageService, more: Mapping[str, object] = _NOTHING_MORE) -> Wsgi:
    """Return what decides on requests, with nothing around it: no accounts, time limits or questions of trust.

    It is what answers clients, and what `sidecar.http.forecast` asks. `more` are further paths and their resources.
    """
    site, settings = Site(service), service.settings
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App(
        middleware=[RawPath(), ReadOnly(), Kind(), AsciiOnly()]
    )
    app.req_options.strip_url_path_trailing_slash = False
    routes = {
        _IMAGE: RedirectResource(site),
        _IMAGE + "/info.json": InfoResource(site),
        f"{_IMAGE}/{NAME}": PropertiesResource(site),
        _IMAGE + "/{region}/{size}/{rotation}/{quality_format}": ImageResource(site),
        **more,
    }
    for path, resource in routes.items():
        app.add_route(path, resource)
    app.add_sink(_not_found)
    errors = ErrorResponder(site, Handover(settings))
    app.add_error_handler(Exception, errors.unforeseen)
    app.add_error_handler(SidecarError, errors.expected)
    return Prefixed(app, settings.prefix)


def _plugins(service: ImageService) -> Mapping[str, Sequence[str]]:
    """Return the names of what plugins have registered."""
    decoders = service.renderer.readers.decoders
    return {"sources": [each.name for each in service.sources], "decoders": decoders, "formats": [*service.encoders]}


def _not_found(req: falcon.Request, resp: falcon.Response, **_: str) -> None:
    del resp
    raise NotFound(f"{unquote(req.path)!r} is not a path of the IIIF Image API")
