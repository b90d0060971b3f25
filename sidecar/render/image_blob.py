"""Which image of which files: the bytes of a file under an etag that tells all apart that decoders make of it."""

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
class ImageBlob:
    """The bytes of a file, for the image that is meant: all that is kept by etag is kept apart."""

    whole: Blob
    """As the source has found it, which decoders are given."""
    associated: str = ""
    """The name of an image that the file holds beside its own, as `label`; empty: its own."""
    companions: str = ""
    """The state of other files that belong to the image, see SpansFiles."""

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
        return etag(self.whole, self.associated, self.companions)

    @property
    def last_modified(self) -> datetime | None:
        """The time of the file; unknown if there are others, whose changes it would not show."""
        return None if self.companions else self.whole.last_modified

    @property
    def path(self) -> Path | None:
        """The path of the file."""
        return self.whole.path

    def read(self, ranges: Sequence[ByteRange]) -> Sequence[Buffer]:
        """Return bytes of the file, see Blob."""
        return self.whole.read(ranges)


def able(decoders: Sequence[Decoder], blob: Blob) -> Sequence[Decoder]:
    """Return the decoders that may be asked for an image. Raises NotFound if none knows of such images."""
    if not isinstance(blob, ImageBlob) or not blob.associated:
        return decoders
    if found := [decoder for decoder in decoders if isinstance(decoder, OpensAssociatedImages)]:
        return found
    raise _not_there(blob)


def opened(decoder: Decoder, blob: Blob) -> ImageReader[Any]:
    """Open an image, one that a file holds beside its own too. Raises as Decoder.open, and NotFound."""
    if not isinstance(blob, ImageBlob):
        return decoder.open(blob)
    if not blob.associated or not isinstance(decoder, OpensAssociatedImages):
        return decoder.open(blob.whole)
    reader = decoder.open_associated(blob.whole, blob.associated)
    if reader is None:
        raise _not_there(blob)
    return reader


def _not_there(blob: ImageBlob) -> NotFound:
    return NotFound(f"the file holds no image called {blob.associated!r}")
