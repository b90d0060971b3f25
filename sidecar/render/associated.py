"""An image that a file holds beside its own, as the label of a slide: a blob of its own, with readers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sidecar.errors import NotFound
from sidecar.plugin import Blob, Buffer, ByteRange, Decoder, ImageReader, OpensAssociatedImages
from sidecar.render.etag import etag


@dataclass(frozen=True, slots=True)
class AssociatedBlob:
    """The bytes of a file, for an image that it holds beside its own: all that is kept by etag is kept apart."""

    whole: Blob
    image: str
    """The name of the image, as `label`."""

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.whole.name

    @property
    def size(self) -> int:
        """The length of the file."""
        return self.whole.size

    @property
    def etag(self) -> str:
        """Another text than that of the file."""
        return etag(self.whole, "associated", self.image)

    @property
    def last_modified(self) -> datetime | None:
        """The time of the file."""
        return self.whole.last_modified

    @property
    def path(self) -> Path | None:
        """The path of the file."""
        return self.whole.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return bytes of the file, see Blob."""
        return self.whole.read(ranges)


def able(decoders: Sequence[Decoder], blob: Blob) -> Sequence[Decoder]:
    """Return the decoders that may be asked for an image. Raises NotFound if none knows of such images."""
    if not isinstance(blob, AssociatedBlob):
        return decoders
    if found := [decoder for decoder in decoders if isinstance(decoder, OpensAssociatedImages)]:
        return found
    raise _not_there(blob)


def opened(decoder: Decoder, blob: Blob) -> ImageReader[Any]:
    """Open an image, one that a file holds beside its own too. Raises as Decoder.open, and NotFound."""
    if not isinstance(blob, AssociatedBlob) or not isinstance(decoder, OpensAssociatedImages):
        return decoder.open(blob)
    reader = decoder.open_associated(blob.whole, blob.image)
    if reader is None:
        raise _not_there(blob)
    return reader


def _not_there(blob: AssociatedBlob) -> NotFound:
    return NotFound(f"the file holds no image called {blob.image!r}")
