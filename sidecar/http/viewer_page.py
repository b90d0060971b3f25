"""`/sidecar/viewer`: any image in OpenSeadragon, beside the same by Cantaloupe if its address is known; and a list."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Final
from urllib.parse import quote

import falcon

from sidecar.errors import SourceError
from sidecar.http.page_templates import Templates
from sidecar.http.proxy import CantaloupeProxy
from sidecar.http.site import Site
from sidecar.http.visitors import Visitors, protect
from sidecar.plugin import Decoder, ListsImages
from sidecar.render.plugin_calls import plugin_call

_MOST: Final = 2000
"""Images that are listed of each source."""
_EACH: Final = 60
"""On one page."""
BESIDE: Final = "/sidecar/cantaloupe"


@dataclass(frozen=True, slots=True)
class Sample:
    """A response to show of an image: its URL without the size, which must not be larger than the region."""

    text: str
    part: float
    region: str
    rest: str


SAMPLES: Final = (
    Sample("the whole", 1.0, "full", "0/default.jpg"),
    Sample("a square, in grey", 0.5, "square", "0/gray.jpg"),
    Sample("turned by 90°", 1.0, "full", "90/default.jpg"),
    Sample("mirrored", 1.0, "full", "!0/default.jpg"),
    Sample("a quarter, black and white, as PNG", 0.45, "pct:25,25,50,50", "0/bitonal.png"),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as the pages name it."""

    name: str
    page: str
    """The URL of its viewer."""
    base: str
    """The beginning of its URLs."""


@dataclass(frozen=True)
class ViewerPage:
    """`/sidecar/viewer?id=…`; without an identifier only the list."""

    kind: ClassVar[str] = "page"

    site: Site
    decoders: Sequence[Decoder]
    visitors: Visitors
    templates: Templates

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the page."""
        self.visitors.check(req)
        name = (req.get_param("id") or "").strip()
        first = (req.get_param_as_int("from", default=0, min_value=0, max_value=_MOST)) or 0
        names = self._names()
        resp.content_type = falcon.MEDIA_HTML
        resp.text = self.templates.render(
            "viewer.html",
            shown=self._picture(name) if name else None,
            beside=BESIDE if self.site.settings.cantaloupe_url else "",
            samples=SAMPLES,
            pictures=[self._picture(each) for each in names[first : first + _EACH]],
            first=first,
            each=_EACH,
            count=len(names),
            most=_MOST,
        )
        protect(resp)

    on_head = on_get

    def _names(self) -> Sequence[str]:
        """Return the identifiers of images that sources can name."""
        suffixes = frozenset(chain.from_iterable(each.suffixes for each in self.decoders))
        names: list[str] = []
        for source in self.site.service.sources:
            if isinstance(source, ListsImages):
                with suppress(SourceError), plugin_call(source.name, "its list"):
                    names += source.listed(suffixes, _MOST)
        return sorted(dict.fromkeys(names))[:_MOST]

    def _picture(self, name: str) -> Picture:
        settings = self.site.settings
        written = name.replace("/", settings.slash_substitute) if settings.slash_substitute else name
        version = "3" if "3" in settings.endpoints else "2"
        return Picture(name, f"/sidecar/viewer?id={quote(name, safe='')}", f"/iiif/{version}/{quote(written, safe='')}")


@dataclass(frozen=True)
class BesideResource:
    """`/sidecar/cantaloupe/iiif/…`: Cantaloupe's own answer, so that the viewer has both from one place."""

    kind: ClassVar[str] = "page"

    proxy: CantaloupeProxy
    visitors: Visitors

    def on_get(self, req: falcon.Request, resp: falcon.Response, **_: object) -> None:
        """Answer with what Cantaloupe answers."""
        self.visitors.check(req)
        self.proxy.answer(req, resp, req.path.removeprefix(BESIDE))
        # Whatever it is, it runs nothing in the name of this port.
        protect(resp, "default-src 'none'; sandbox")

    on_head = on_get
