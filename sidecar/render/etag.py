"""Validators of responses."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from sidecar.plugin import Blob

PIXELS: Final = "3"
"""Counts the changes of this code that change the bytes of responses: part of every ETag."""


def etag(blob: Blob, *rest: object) -> str:
    """Return a validator (RFC 9110 §8.8.1): of the source's version, the request, and every setting that shows.

    The same on every machine that is set up alike.
    """
    digest = blake2b(digest_size=16)
    for part in (PIXELS, blob.etag, *rest):
        # Lengths keep ("ab", "c") apart from ("a", "bc").
        text = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()
