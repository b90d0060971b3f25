"""`/sidecar/…`: health, readiness and metrics, on the sidecar's own port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def __init__(self, readiness: Readiness, plugins: Mapping[str, Sequence[str]]) -> None:
        """`plugins`: the names of what is loaded, by kind."""
        self._readiness = readiness
        self._plugins = plugins

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200, or 503 and why; with `?sources=all` only if those over a network can be read, too."""
        ready, state = self._readiness.state(remote=req.get_param("sources") == "all")
        resp.status = falcon.HTTP_200 if ready else falcon.HTTP_503
        resp.media = {**state, "plugins": self._plugins}
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
