"""Gives a request to Cantaloupe.

Behind the nginx site a status does it, which nginx sends to a named location: method, headers, query and
percent-encoding stay as they came and no byte passes through Python. Elsewhere the response is streamed from
SIDECAR_CANTALOUPE_URL. If there is no Cantaloupe at all, the sidecar answers itself.
"""

from __future__ import annotations

from typing import Final

import falcon

from sidecar.config import Settings
from sidecar.http.bodies import Bodies
from sidecar.http.client import behind_nginx
from sidecar.http.proxy import CantaloupeProxy
from sidecar.observability.tracing import onward

STATUS: Final = falcon.HTTP_421
"""Misdirected Request (RFC 9110 §15.5.20): the origin that answers this URL is another one."""


class Handover:
    """The ways to Cantaloupe."""

    def __init__(self, settings: Settings) -> None:
        bodies = Bodies(settings.request_body_bytes, settings.request_body_timeout)
        url = settings.cantaloupe_url
        self.proxy = CantaloupeProxy(url, bodies, settings.cantaloupe_connections) if url else None
        """None if no SIDECAR_CANTALOUPE_URL is set."""

    def take(self, req: falcon.Request, resp: falcon.Response) -> bool:
        """Hand the request over; report whether there was somebody to give it to."""
        if behind_nginx(req):
            # No cache may keep it, and to whoever else got it, it would be no image.
            resp.status = STATUS
            resp.set_header("Cache-Control", "no-store")
            # For sites of version 0.1, which do not send this status on by themselves.
            resp.set_header("X-Accel-Redirect", "@cantaloupe")
            # nginx passes these on to Cantaloupe (sidecar-headers.conf), so that the trace goes on there.
            resp.set_headers(onward())
            return True
        if self.proxy is not None:
            self.proxy.answer(req, resp)
            return True
        return False


def allow(resp: falcon.Response) -> None:
    """Answer OPTIONS if no Cantaloupe does."""
    resp.status = falcon.HTTP_204
    resp.set_header("Allow", "GET, HEAD, OPTIONS")
    resp.set_header("Access-Control-Allow-Origin", "*")
    resp.set_header("Access-Control-Allow-Headers", "Authorization")
