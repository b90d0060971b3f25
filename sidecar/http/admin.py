"""`/sidecar/…`: health, readiness and metrics, on the sidecar's own port."""

from __future__ import annotations

from typing import Final

import falcon

from sidecar.http.readiness import Readiness
from sidecar.observability.exposition import exposition
from sidecar.observability.metrics import Gauges


class HealthResource:
    """`/sidecar/health`: answers 200 while this worker serves."""

    kind: Final = "health"

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200."""
        resp.media = {"status": "ok"}
        resp.set_header("Cache-Control", "no-store")

    on_head = on_get


class ReadyResource:
    """`/sidecar/ready`: for balancers, which should ask here and not `/sidecar/health`."""

    kind: Final = "ready"

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200, or 503 and why."""
        problem = self._readiness.problem
        resp.status = falcon.HTTP_503 if problem else falcon.HTTP_200
        resp.media = {"status": problem or "ready"}
        resp.set_header("Cache-Control", "no-store")

    on_head = on_get


class MetricsResource:
    """`/sidecar/metrics`: the metrics of all workers, in Prometheus' text format, or in OpenMetrics."""

    kind: Final = "metrics"

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with all metrics."""
        self._gauges.update()
        resp.data, resp.content_type = exposition(req.get_header("Accept") or "")
        resp.set_header("Vary", "Accept")
        resp.set_header("Cache-Control", "no-store")
