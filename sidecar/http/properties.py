"""`…/properties.json`: what a file says of itself, as far as the operator lets clients see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import falcon

from sidecar.errors import NotFound
from sidecar.http import conditional, headers
from sidecar.http.site import Site
from sidecar.render.etag import etag

NAME: Final = "properties.json"
_TYPE: Final = "application/json"
_LINKED: Final = 3
"""The first version whose info.json may lead to other documents (Image API 3.0 §5.8)."""


class PropertiesResource:
    """Shows the properties of a file."""

    kind: Final = "properties"

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response, version: int, identifier: str) -> None:
        """Answer a request. Raises NotFound if nothing may be seen; SidecarError."""
        service = self._site.service
        service.policy.check("all")
        blob = service.located(self._site.identifier(version, identifier))
        properties = service.properties(blob)
        if not properties:
            raise NotFound("the image has no properties that may be shown")
        text = json.dumps(properties, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        tag = etag(blob, text)
        headers.common(resp, self._site.settings.cache_control)
        headers.validators(resp, tag, None)
        if conditional.matches(req, tag) or conditional.matches_any(req):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = _TYPE
        resp.text = text

    on_head = on_get


def link(version: int, uri: str) -> Mapping[str, object]:
    """Return the fields by which info.json leads to the properties of an image; none in version 2, which has none."""
    if version < _LINKED:
        return {}
    label = {"en": ["Properties of the file"]}
    return {"seeAlso": [{"id": f"{uri}/{NAME}", "type": "Dataset", "label": label, "format": _TYPE}]}
