"""What there may be beside an image: other images in its file, as the label of a slide, properties, and other files.

Labels and properties may show who the patient is. The core asks for none that the operator has not allowed by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from sidecar.plugin.decoder import ImageReader
from sidecar.plugin.description import Value
from sidecar.plugin.source import Blob


@runtime_checkable
class OpensAssociatedImages(Protocol):
    """An optional power of a decoder: it opens images that a file holds beside its own, as `label` and `macro`."""

    def open_associated(self, blob: Blob, name: str) -> ImageReader[Any] | None:
        """Open the image of that name; None if the file holds none. Called in a greenlet.

        The name is one of those that the operator allows (SIDECAR_ASSOCIATED_IMAGES), lower-case words mostly; those of
        OpenSlide are `label`, `macro` and `thumbnail`. Raises as Decoder.open: Unsupported if another decoder may read
        the file, or that image of it.
        """
        ...


@runtime_checkable
class HasProperties(Protocol):
    """An optional power of a reader: it states properties of the file, as scanners write them.

    The core shows those that the operator allows (SIDECAR_PROPERTIES) as a JSON document beside info.json.
    """

    def properties(self) -> Mapping[str, Value]:
        """Return all properties by name: words joined by dots, the first of which says whose property it is.

        Called in a greenlet; reads nothing.
        """
        ...


@runtime_checkable
class SpansFiles(Protocol):
    """An optional power of a decoder: some of its images are several files, and the blob is the one that names them."""

    def companions(self, blob: Blob) -> str:
        """Return a text that changes whenever another file of the image does; empty if there is none.

        It becomes part of every ETag of the image. Called in a greenlet, for each request of a file whose suffix the
        decoder claims, so it must be quick: it looks at files, and opens no image. Raises as Decoder.open.
        """
        ...
