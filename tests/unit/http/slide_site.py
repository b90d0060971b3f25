"""A site with slides, as the tests about them ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import falcon.testing
import sidecar_filesystem
from sidecar_filesystem import FilesystemSettings
from sidecar_openslide import OpenSlideDecoder
from sidecar_openslide.library import load
from sidecar_png import PngFactory, PngSettings
from sidecar_tiff import samples

from sidecar.config import Settings
from sidecar.limits.threads import NativePool
from sidecar.plugin import Config, Decoder, Source, run_inline
from sidecar.registry import Registry
from sidecar.server.application import create_app
from sidecar.testing.fakes import MemoryBlob, MemorySource

Ask = Callable[..., falcon.testing.Result]
DECODERS: Final[dict[str, Callable[[], Sequence[Decoder]]]] = {
    "openslide": lambda: [OpenSlideDecoder(load(2**20), ["svs", "dcm"], run_inline)],
    "direct": lambda: [samples.decoder()],
    "both": lambda: [*DECODERS["direct"](), *DECODERS["openslide"]()],
}
"""The plugins that read slides, as one or both are installed."""


@contextmanager
def served(images: MemoryBlob | str, decoders: str, **settings: object) -> Iterator[Ask]:
    """Ask a site with one slide, `slide.svs`, or with the files of a folder; it makes PNGs."""
    files = FilesystemSettings.model_validate({"path_prefix": images} if isinstance(images, str) else {})
    config, native = Config.of(Settings.model_validate(settings), files), NativePool(2)
    sources: Sequence[Source] = [MemorySource({"slide.svs": images})] if isinstance(images, MemoryBlob) else []
    registry = Registry(
        [*sources, *sidecar_filesystem.register_sources(config, run_inline)],
        DECODERS[decoders](),
        {"png": PngFactory(PngSettings())},
    )
    app = create_app(config, registry, native)
    try:
        yield lambda words, **headers: falcon.testing.simulate_get(
            app, "/", headers=headers, extras={"RAW_URI": f"/iiif/{words}"}
        )
    finally:
        native.close()
