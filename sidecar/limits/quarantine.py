"""Images that have recently crashed a worker or got a native call stuck: handed over by all workers for a while."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sidecar.errors import Quarantined

DIGEST_SIZE: Final = 16


def digest(image: str) -> bytes:
    """Return what stands for an image (its etag) in journals and file names, 16 bytes."""
    return hashlib.blake2b(image.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()


class Quarantine:
    """Two sets of images, kept as empty files named by digest; the time of a file is that of the last crash.

    All workers and the master share the folder. Images leave the quarantine when `seconds` have passed.
    """

    def __init__(self, folder: Path | None = None, seconds: float = 0) -> None:
        """Without a folder, or with 0 seconds, no image is ever in quarantine."""
        self._images = (folder / "quarantine") if folder and seconds else None
        self._suspects = (folder / "suspects") if folder and seconds else None
        self._seconds = seconds

    def check(self, image: str) -> None:
        """Raise Quarantined if the image is in quarantine."""
        if self._images and self._recent(self._images / digest(image).hex()):
            raise Quarantined("this image has recently crashed or blocked the decoder")

    def add(self, image: bytes) -> None:
        """Put an image (its digest) into quarantine."""
        if self._images:
            _touch(self._images / image.hex())

    def suspect(self, image: bytes) -> bool:
        """Record that an image was in progress at a crash; report whether it was at an earlier one too."""
        if not self._suspects:
            return False
        path = self._suspects / image.hex()
        again = self._recent(path)
        _touch(path)
        return again

    def images(self) -> Iterator[tuple[str, float]]:
        """Return the images in quarantine: their digests in hexadecimal, and for how many seconds they stay."""
        for path in sorted(self._images.glob("*")) if self._images else ():
            with suppress(FileNotFoundError):
                left = self._seconds - (time.time() - path.stat().st_mtime)
                if left > 0:
                    yield path.name, left

    def expire(self) -> None:
        """Remove the files of images whose time is over."""
        for folder in filter(None, (self._images, self._suspects)):
            for path in folder.glob("*"):
                if not self._recent(path):
                    path.unlink(missing_ok=True)

    def _recent(self, path: Path) -> bool:
        try:
            return time.time() - path.stat().st_mtime < self._seconds
        except FileNotFoundError:
            return False


def _touch(path: Path) -> None:
    # What cleans up temporary folders removes empty ones.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
