"""What HTJ2K's decoder has read of a file that it leaves to `jp2` is not read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind

from sidecar.plugin import Unsupported, run_inline
from sidecar.render.decoder_choice import DecoderChoice
from sidecar.testing.fakes import MemoryBlob, on_disk

IMAGE = Path(__file__).parents[3] / "tests" / "data" / "images" / "gray8.jp2"
HTJ2K = Htj2kDecoder(OpenJph(load()), IndexCache(run_inline, 1 << 20))
JP2 = Jp2Decoder(OpenJpeg(bind()))


@pytest.mark.parametrize("local", [True, False])
def test_the_head_is_read_once(*, local: bool) -> None:
    """Both decoders together read what one of them reads."""
    alone, both = (on_disk(IMAGE) if local else MemoryBlob(IMAGE.name, IMAGE.read_bytes()) for _ in range(2))
    reader = JP2.open(alone)
    decoder, found = DecoderChoice([HTJ2K, JP2]).open(both)
    assert decoder is JP2
    assert found.info == reader.info
    assert both.asked == alone.asked


def test_an_error_is_found_once() -> None:
    """What is broken for one decoder is broken for the next, without another look at the file."""
    blob = MemoryBlob("a.jp2", IMAGE.read_bytes()[:60])
    with pytest.raises(Unsupported):
        HTJ2K.open(blob)
    asked = len(blob.asked)
    for _ in range(2):
        with pytest.raises(Exception, match="jp2h"):
            JP2.open(blob)
    assert asked < len(blob.asked)
    assert len(blob.asked) == 2 * asked
