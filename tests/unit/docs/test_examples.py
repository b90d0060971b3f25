"""The example plugins of the guide keep their contracts."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from sidecar.plugin import Config, EncoderFactory, Native, Section, run_inline
from sidecar.registry import Plugins
from sidecar.testing.contracts.decoder import DecoderContract
from sidecar.testing.contracts.encoder import EncoderContract
from sidecar.testing.contracts.source import SourceContract, Store
from sidecar.testing.fakes import MemoryBlob
from tests.unit.docs.tables import ROOT


def example(page: str) -> ModuleType:
    """Return the module that is the Python block of a page of the guide."""
    text = (ROOT / "docs/plugins" / f"{page}.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spec = importlib.util.spec_from_loader(f"example_{page}", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pydantic look their module up by name.
    sys.modules[module.__name__] = module
    exec(compile(code, f"{page}.md", "exec"), vars(module))  # noqa: S102  # the guide's own code
    return module


SHELF, NETPBM, TIFF = map(example, ("source", "decoder", "encoder"))


def netpbm(width: int, height: int, channels: int, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return b"P%d %d %d 255\n" % (5 if channels == 1 else 6, width, height) + pixels.tobytes()


GREY = netpbm(640, 480, 1, seed=0)
COLOR = netpbm(1001, 733, 3, seed=1)


class TestSource(SourceContract):
    """The database of the guide."""

    @pytest.fixture
    def store(self, tmp_path: Path, native: Native) -> Iterator[Store]:
        """Make an empty table, and register the plugin as installed ones are."""
        file = tmp_path / "images.sqlite"
        with closing(sqlite3.connect(file, isolation_level=None)) as own:
            own.execute("CREATE TABLE images (name TEXT PRIMARY KEY, version INTEGER, content BLOB)")
            versions = count()
            settings: Section = SHELF.ShelfSettings(file=file)
            registry = Plugins([SHELF], installed=False).load(Config.of(settings), native)
            (source,) = registry.sources

            def put(identifier: str, content: bytes) -> None:
                row = (identifier, next(versions), content)
                own.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", row)

            yield Store(source, put)


class TestDecoder(DecoderContract):
    """The PGM and PPM of the guide."""

    decoder = NETPBM.NetpbmDecoder()
    samples: ClassVar = {
        "grey": lambda _: MemoryBlob("grey.pgm", GREY),
        "color": lambda _: MemoryBlob("color.ppm", COLOR),
    }
    nasties: ClassVar = {
        "cut": lambda _: MemoryBlob("cut.pgm", GREY[:-1]),
        "empty": lambda _: MemoryBlob("empty.pgm", b"P5 0 0 255\n"),
        "deep": lambda _: MemoryBlob("deep.pgm", b"P5 2 2 65535\n" + bytes(8)),
    }


class TestEncoder(EncoderContract):
    """The TIFF of the guide."""

    factory: ClassVar[EncoderFactory] = TIFF.TiffFactory()
    largest_side = TIFF.LARGEST_SIDE


@pytest.mark.parametrize(
    "page, file", [("source", "shelf_source/sidecar_shelf.py"), ("decoder", "netpbm_decoder/sidecar_netpbm.py")]
)
def test_the_guide_shows_the_examples(page: str, file: str) -> None:
    """The Python block of a page of the guide is the module of the example, so that both are what the tests run."""
    text = (ROOT / "docs/plugins" / f"{page}.md").read_text(encoding="utf-8")
    assert (ROOT / "examples" / file).read_text(encoding="utf-8") in text


def test_examples_register() -> None:
    """Each example is a plugin that registers what its page says."""
    registry = Plugins([SHELF, NETPBM, TIFF], installed=False).load(Config.of(), run_inline)
    assert [source.name for source in registry.sources] == []
    assert [decoder.name for decoder in registry.decoders] == ["netpbm"]
    assert [*registry.encoders] == ["tif"]
