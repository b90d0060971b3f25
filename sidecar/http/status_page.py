"""`/sidecar/`: what runs and how it goes, for people; and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import falcon

from sidecar.http.page_templates import Templates
from sidecar.http.status_report import StatusReport
from sidecar.http.visitors import Visitors, protect
from sidecar.observability.work import STAGES


@dataclass(frozen=True)
class StatusPage:
    """`/sidecar/`, without a script: what is shown is what was so when it was asked for."""

    kind: ClassVar[str] = "page"

    report: StatusReport
    visitors: Visitors
    templates: Templates

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the page."""
        self.visitors.check(req)
        resp.content_type = falcon.MEDIA_HTML
        resp.text = self.templates.render("status.html", report=self.report.make(), stages=STAGES)
        protect(resp)

    on_head = on_get


@dataclass(frozen=True)
class StatusJson:
    """`/sidecar/status.json`: the report of the page."""

    kind: ClassVar[str] = "page"

    report: StatusReport
    visitors: Visitors

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the report."""
        self.visitors.check(req)
        resp.media = self.report.make()
        protect(resp)

    on_head = on_get


class ToStatusPage:
    """`/sidecar`: the page is one slash further."""

    kind: ClassVar[str] = "page"

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with a redirect."""
        resp.status = falcon.HTTP_308
        resp.location = "/sidecar/"

    on_head = on_get
