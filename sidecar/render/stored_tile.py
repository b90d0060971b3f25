"""A stored tile that is the whole response: passed on as the file holds it, without decoding and encoding.

That is what a viewer gets that asks for the tiles of a slide as they are. It is allowed if nothing would be done to the
pixels between decoder and encoder, and both speak of the same format. The compression of the file then takes the place
of the settings of the encoder: encoding the pixels again could only lose more of them.
"""

from __future__ import annotations

from sidecar.observability.metrics import PASSED
from sidecar.plugin import Blob, EncodedTile, EncoderFactory, SupportsEncodedTiles
from sidecar.render.fetch import Fetcher, Link
from sidecar.render.plan import Plan
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.reader_cache import OpenImage


def stored_tile(plan: Plan, blob: Blob, image: OpenImage, factory: EncoderFactory) -> EncodedTile | None:
    """Return the stored tile that the response may be, if there is one."""
    reader = image.reader
    if not plan.unchanged or not isinstance(reader, SupportsEncodedTiles):
        return None
    with plugin_call(image.decoder, blob.name):
        tile = reader.encoded_tile(plan.level, plan.crop)
    return tile if tile is not None and tile.media_type == factory.media_type else None


def passed_on(tile: EncodedTile, blob: Blob, image: OpenImage, fetcher: Fetcher) -> bytes:
    """Fetch a stored tile and return it as a file. Raises SourceError, DecodeError."""
    _fetched, data = fetcher.read(blob, tile.ranges, Link())
    with plugin_call(image.decoder, blob.name):
        file = tile.file(data)
    PASSED.inc()
    return file
