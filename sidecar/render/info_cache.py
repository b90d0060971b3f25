"""What is known of images, within a bound in bytes: it answers info.json, HEAD and plans without opening anything."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from sidecar.plugin import ImageInfo
from sidecar.plugin.color import shared_profile
from sidecar.render.held_bytes import HeldBytes

_INFO_BYTES, _LEVEL_BYTES = 1200, 700
"""The objects of an info beside its profile, and of a level with its grid; measured with tracemalloc."""
_KEY_BYTES: Final = 200


class InfoCache:
    """Infos by etag, the least recently used dropped first. ICC profiles of equal content are held and counted once."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes."""
        self._limit = limit
        self._infos: OrderedDict[str, ImageInfo] = OrderedDict()
        self._held = HeldBytes()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._held.total

    def __len__(self) -> int:
        return len(self._infos)

    def get(self, etag: str) -> ImageInfo | None:
        """Return what is known of an image."""
        info = self._infos.get(etag)
        if info is not None:
            self._infos.move_to_end(etag)
        return info

    def put(self, etag: str, info: ImageInfo) -> ImageInfo:
        """Keep an info, or drop others and it if there is no room; returns it with its profile shared."""
        self._drop(etag)
        if info.icc is not None:
            info = replace(info, icc=shared_profile(info.icc))
        self._infos[etag] = info
        self._held.add(_bytes(info), info.icc)
        while self.nbytes > self._limit and self._infos:
            self._drop(next(iter(self._infos)))
        return info

    def _drop(self, etag: str) -> None:
        info = self._infos.pop(etag, None)
        if info is not None:
            self._held.remove(_bytes(info), info.icc)


def _bytes(info: ImageInfo) -> int:
    return _KEY_BYTES + _INFO_BYTES + _LEVEL_BYTES * len(info.levels)
