"""The sidecar's own pages, put together: which paths there are below `/sidecar/` for people."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.http.assets import AssetResource
from sidecar.http.page_templates import Templates
from sidecar.http.proxy import CantaloupeProxy
from sidecar.http.site import Site
from sidecar.http.status_page import StatusJson, StatusPage, ToStatusPage
from sidecar.http.status_report import StatusReport
from sidecar.http.viewer_page import BESIDE, BesideResource, ViewerPage
from sidecar.http.visitors import Visitors

_API = BESIDE + "/iiif/{version:int(1)}/{identifier}"


def pages(site: Site, report: StatusReport, proxy: CantaloupeProxy | None) -> Mapping[str, object]:
    """Return the resource of each path; Cantaloupe's pictures only if one is known."""
    visitors = Visitors(site.settings.status_networks)
    assets = AssetResource(visitors)
    templates = Templates(assets.mark)
    found: dict[str, object] = {
        "/sidecar": ToStatusPage(),
        "/sidecar/": StatusPage(report, visitors, templates),
        "/sidecar/status.json": StatusJson(report, visitors),
        "/sidecar/viewer": ViewerPage(site, report.registry.decoders, visitors, templates),
        "/sidecar/static/{name}": assets,
    }
    if proxy is not None:
        beside = BesideResource(proxy, visitors)
        found[_API + "/info.json"] = beside
        found[_API + "/{region}/{size}/{rotation}/{quality_format}"] = beside
    return found
