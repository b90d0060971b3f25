"""`/sidecar/static/…`: style, script and viewer of the sidecar's own pages; nothing comes from another site."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

import falcon

from sidecar.errors import NotFound
from sidecar.http.visitors import Visitors, protect

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class AssetResource:
    """The files of the package's folder `static`, read once."""

    kind: Final = "page"

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        folder = files("sidecar.http") / "static"
        self._files = {each.name: each.read_bytes() for each in folder.iterdir()}
        content = b"\0".join(self._files[name] for name in sorted(self._files))
        self.mark = hashlib.blake2b(content, digest_size=6).hexdigest()
        """What pages put behind the names of files, so that browsers keep them until they change."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Answer with a file. Raises NotFound."""
        self._visitors.check(req)
        if name not in self._files:
            raise NotFound(f"{name!r} is no part of the sidecar's pages")
        resp.data = self._files[name]
        resp.content_type = _TYPES.get(name.rpartition(".")[2], "text/plain; charset=utf-8")
        protect(resp)
        resp.set_header("Cache-Control", "private, max-age=604800")

    on_head = on_get
