"""The decoder: from a blob to an opened slide, or the reason why it is left to OpenSlide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sidecar.plugin import Blob, ByteRange, DecodeError, Unsupported
from sidecar_tiff.associated import AssociatedReader, open_associated
from sidecar_tiff.codecs import Jpeg2000Codec, JpegCodec, TileCodec
from sidecar_tiff.directory import HEADER, Form, form_of, is_tiff
from sidecar_tiff.jpeg2000 import Jpeg2000, header_of
from sidecar_tiff.levels import shown_levels
from sidecar_tiff.pages import read_contents
from sidecar_tiff.places import Paging
from sidecar_tiff.reader import TiffReader
from sidecar_tiff.slide import Coding, Slide, slide_of
from sidecar_tiff.turbo import Turbo

_PAGING: Final = Paging()


class TiffDecoder:
    """Aperio's slides and tiled pyramids of JPEG tiles, from files and from afar."""

    name: Final = "direct-tiff"
    """Sorts before `openslide`, which so is asked for what is not read here."""

    def __init__(self, suffixes: Iterable[str], turbo: Turbo, jpeg2000: Jpeg2000, paging: Paging = _PAGING) -> None:
        self.suffixes = frozenset(suffix.lower().lstrip(".") for suffix in suffixes)
        self._turbo = turbo
        self._jpeg2000 = jpeg2000
        self._paging = paging

    def recognizes(self, head: bytes) -> bool:
        """Report whether a file begins as a TIFF does."""
        return is_tiff(head)

    def open(self, blob: Blob) -> TiffReader:
        """Read the directories of a slide, and the beginning of one tile.

        Raises Unsupported for all that is not exactly understood, Malformed if directories lead out of the file or run
        in a circle; SourceError, SourceChanged.
        """
        contents = read_contents(blob, _form(blob), paging=self._paging)
        slide = slide_of(contents, blob, self._paging)
        try:
            codecs = [*self._codecs(slide, contents.sample)]
        except DecodeError as error:
            raise Unsupported(str(error)) from error
        return TiffReader([*shown_levels(slide.levels, codecs)], slide)

    def open_associated(self, blob: Blob, name: str) -> AssociatedReader | None:
        """Open an image that an Aperio slide holds beside its own, see OpensAssociatedImages. Raises as `open`."""
        return open_associated(read_contents(blob, _form(blob), strips=True), blob, name, self._turbo)

    def _codecs(self, slide: Slide, sample: bytes) -> Iterator[TileCodec]:
        """Return what decodes the tiles of each level. Raises DecodeError if a tile is not what is expected."""
        for index, level in enumerate(slide.levels):
            if level.coding.jpeg:
                codec = JpegCodec(level, self._turbo)
                if sample and not index:
                    codec.checked(sample)
                yield codec
            else:
                ycc = level.coding is Coding.JPEG_2000_YCC
                header = header_of(sample, slide.levels[0].tile, ycc=ycc)
                yield Jpeg2000Codec(level, self._jpeg2000, header.levels)


def _form(blob: Blob) -> Form:
    """Return the form of a TIFF. Raises Unsupported if it is none; SourceError."""
    (header,) = blob.read([ByteRange(0, min(HEADER, blob.size))])
    form = form_of(header)
    if form is None:
        raise Unsupported("no TIFF")
    return form
