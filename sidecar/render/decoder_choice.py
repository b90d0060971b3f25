"""Which decoder opens a blob: by the suffix of its name, and by its first bytes if nobody claims the suffix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.errors import Unsupported
from sidecar.observability.tracing import span
from sidecar.observability.work import source_of
from sidecar.plugin import SIGNATURE_BYTES, Blob, ByteRange, Decoder, ImageReader, Learns, SpansFiles
from sidecar.render.image_blob import able, opened
from sidecar.render.plugin_calls import plugin_call


class DecoderChoice:
    """The decoders, in the order in which they are asked."""

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        self._decoders = decoders
        self._spanning = [(each, each) for each in decoders if isinstance(each, SpansFiles)]

    @property
    def learning(self) -> bool:
        """Whether a decoder is about to learn how to decode faster what was asked for, see Learns."""
        return any(isinstance(each, Learns) and each.learning for each in self._decoders)

    @property
    def names(self) -> Sequence[str]:
        """The names of the decoders, in the order in which they are asked."""
        return [decoder.name for decoder in self._decoders]

    def asked(self, name: str) -> Sequence[str]:
        """Return the names of those that may be asked for a file of a name, in order: all if none claims its suffix."""
        return [decoder.name for decoder in self._claiming(name) or self._decoders]

    def companions(self, blob: Blob) -> str:
        """Return the state of other files that belong to an image, see SpansFiles; empty if there are none."""
        _, dot, suffix = blob.name.rpartition(".")
        for decoder, spanning in self._spanning:
            if dot and suffix.lower() in decoder.suffixes:
                with plugin_call(decoder.name, blob.name):
                    return spanning.companions(blob)
        return ""

    def candidates(self, blob: Blob) -> Sequence[Decoder]:
        """Return the decoders that may open a blob, in order. Raises SourceError; Unsupported if there is none."""
        if claiming := self._claiming(blob.name):
            return claiming
        with plugin_call(source_of("source"), blob.name):
            head = b"".join(map(bytes, blob.read([ByteRange(0, min(blob.size, SIGNATURE_BYTES))])))
        recognizing = [decoder for decoder in self._decoders if self._recognizes(decoder, blob, head)]
        if not recognizing:
            raise Unsupported("no decoder claims the image, by the suffix of its name or its first bytes")
        return recognizing

    def open(self, blob: Blob) -> tuple[Decoder, ImageReader[Any]]:
        """Open a blob by the first decoder that does not raise Unsupported. Called in a greenlet.

        Raises as Decoder.open; if every candidate raises Unsupported, the error of the first. NotFound if an associated
        image is asked for that the file does not hold.
        """
        refused: list[Unsupported] = []
        try:
            for decoder in able(self.candidates(blob), blob):
                try:
                    with span("index", decoder.name), plugin_call(decoder.name, blob.name):
                        return decoder, opened(decoder, blob)
                except Unsupported as error:
                    refused.append(error)
            raise refused[0]
        finally:
            # The frames of these errors lead here, and hold what was read of the file.
            refused.clear()

    def _claiming(self, name: str) -> Sequence[Decoder]:
        _, dot, suffix = name.rpartition(".")
        return [decoder for decoder in self._decoders if dot and suffix.lower() in decoder.suffixes]

    @staticmethod
    def _recognizes(decoder: Decoder, blob: Blob, head: bytes) -> bool:
        with plugin_call(decoder.name, blob.name):
            return decoder.recognizes(head)
