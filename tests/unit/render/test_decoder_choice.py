"""Which decoder opens an image."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.config import Settings
from sidecar.errors import NotFound, PluginFailure
from sidecar.iiif.identifier import Identifier
from sidecar.iiif.parse import parse
from sidecar.iiif.request import ImageRequest
from sidecar.limits.quarantine import Quarantine
from sidecar.limits.threads import NativePool
from sidecar.plugin import SIGNATURE_BYTES, Blob, Decoder, Malformed, Unsupported
from sidecar.registry import Registry
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.render.image_blob import ImageBlob
from sidecar.server.application import make_service
from sidecar.testing.fakes import GradientDecoder, MemoryBlob, MemorySource, RawEncoderFactory, gradient


class Picky(GradientDecoder):
    """A decoder of the same suffix that refuses every file in some way."""

    name = "picky"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def open(self, blob: Blob) -> Any:
        """Raise the error."""
        del blob
        raise self._error


FILE = MemoryBlob("a.gradient", gradient(10, 10))


def test_the_next_is_asked_if_one_does_not_support_the_file() -> None:
    """Of several decoders for a suffix, the first that does not raise Unsupported opens the file."""
    gradients = GradientDecoder()
    decoder, reader = DecoderChoice([Picky(Unsupported("not mine")), gradients]).open(FILE)
    assert decoder is gradients
    assert reader.info.size.width == 10


@pytest.mark.parametrize("error, raised", [(Malformed("broken"), Malformed), (ZeroDivisionError(), PluginFailure)])
def test_any_other_error_ends_the_search(error: Exception, raised: type[Exception]) -> None:
    """A malformed file, or a decoder that fails, is not offered to the next decoder."""
    gradients = GradientDecoder()
    with pytest.raises(raised):
        DecoderChoice([Picky(error), gradients]).open(FILE)
    assert gradients.opened == []


def test_the_first_refusal_is_reported() -> None:
    """If no decoder supports the file, the reason is that of the first one asked."""
    with pytest.raises(Unsupported, match="first"):
        DecoderChoice([Picky(Unsupported("first")), Picky(Unsupported("second"))]).open(FILE)


@pytest.mark.parametrize(
    "name", ["7e3c2f0a-1d5b-4a0e-9d52-6c1f0a9b8e77", "10.5072/abc/123", "ark:/12148/btv1b8449691v", "a.unknown", "a."]
)
def test_a_file_without_a_known_suffix_is_recognized_by_its_first_bytes(name: str) -> None:
    """A UUID, a DOI or an ARK leads to the decoder that recognizes the content."""
    blob = MemoryBlob(name, gradient(10, 10))
    decoder, _ = DecoderChoice([GradientDecoder()]).open(blob)
    assert decoder.name == "gradient"
    assert blob.asked[0].stop <= SIGNATURE_BYTES


def test_a_known_suffix_needs_no_look_at_the_content() -> None:
    """A blob whose suffix is claimed, in any case of letters, is not read to choose its decoder."""
    blob = MemoryBlob("A.GRADIENT", gradient(10, 10))
    assert [decoder.name for decoder in DecoderChoice([GradientDecoder()]).candidates(blob)] == ["gradient"]
    assert blob.asked == []


@pytest.mark.parametrize("content", [b"", b"\0", b"text\n" * 500])
def test_what_nobody_recognizes_is_unsupported(content: bytes) -> None:
    """A file that no decoder claims by suffix or content is Unsupported, so that Cantaloupe answers."""
    with pytest.raises(Unsupported, match="no decoder claims"):
        DecoderChoice([GradientDecoder()]).open(MemoryBlob("notes", content))


class Other(GradientDecoder):
    """Another decoder of the same suffix."""

    name = "other"


class Unrelated(GradientDecoder):
    """A decoder of other files."""

    name = "unrelated"
    suffixes = frozenset({"else"})


def tag(*decoders: Decoder) -> str:
    """The ETag of a picture."""
    registry = Registry([MemorySource({"a": FILE})], decoders, {"raw": RawEncoderFactory(64)})
    native = NativePool(1)
    service = make_service(Settings(memory_bytes=64 << 20), registry, native, Quarantine())
    try:
        request = ImageRequest(Identifier("a"), parse(3, "full", "max", "0", "default.raw", service.encoders))
        return service.find(request).etag
    finally:
        native.close()
        service.renderer.bulk.close()


def test_etags_tell_who_decodes() -> None:
    """Other decoders for a suffix, or another order, may show in the pixels of a picture, others elsewhere do not."""
    one, other = GradientDecoder(), Other()
    assert len({tag(one), tag(one, other), tag(other, one)}) == 3
    assert tag(one) == tag(one, Unrelated())


class Labelled(GradientDecoder):
    """A decoder of the same suffix whose files hold a label, and which are said to be of several files."""

    name = "labelled"

    def open_associated(self, blob: Blob, name: str) -> Any:
        """Open the file itself as its label."""
        return self.open(blob) if name == "label" else None

    def companions(self, blob: Blob) -> str:
        """Return a state that is the blob's name."""
        return f"beside {blob.name}"


def test_images_beside_a_files_own() -> None:
    """One that can is asked for them, and given the file as it was found; if it has none of that name, nobody is."""
    labelled, picky = Labelled(), Picky(ZeroDivisionError())
    choice = DecoderChoice([picky, labelled])
    decoder, _ = choice.open(ImageBlob(FILE, "label"))
    assert decoder is labelled
    assert len(labelled.opened) == 1
    with pytest.raises(NotFound, match="macro"):
        choice.open(ImageBlob(FILE, "macro"))
    with pytest.raises(NotFound, match="label"):
        DecoderChoice([picky]).open(ImageBlob(FILE, "label"))


def test_images_of_several_files() -> None:
    """Their state is that of the decoder that knows it, of files whose suffix it claims; etags tell them apart."""
    choice = DecoderChoice([GradientDecoder(), Labelled()])
    assert choice.companions(FILE) == f"beside {FILE.name}"
    assert choice.companions(MemoryBlob("a.other", b"")) == ""
    assert choice.companions(MemoryBlob("gradient", b"")) == ""
    states = (FILE, ImageBlob(FILE, "label"), ImageBlob(FILE, "", "1"), ImageBlob(FILE, "", "2"), ImageBlob(FILE, "1"))
    assert len({each.etag for each in states}) == len(states)
