"""Packet indexes of HTJ2K files are kept and shared as those of other JPEG 2000 files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sidecar_htj2k.decoder import Htj2kDecoder
from sidecar_htj2k.openjph import OpenJph, load
from sidecar_htj2k.testing import Packing, encode, photograph, repack
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.store.kept_entries import KeptEntries
from sidecar_jp2.store.packing import Packing as Sealing
from sidecar_jp2.store.sqlite_store import SqliteStore

from sidecar.plugin import Rect, run_inline
from sidecar.testing.fakes import MemoryBlob
from sidecar.testing.reading import read

REGION = Rect(300, 200, 64, 64)


def decoder(folder: Path) -> Htj2kDecoder:
    """A decoder that knows nothing but what is kept in a folder."""
    kept = KeptImages(KeptEntries(run_inline, Sealing(), SqliteStore(folder, 1 << 20)))
    return Htj2kDecoder(OpenJph(load()), IndexCache(run_inline, 1 << 20, kept))


def test_an_index_outlives_the_worker(tmp_path: Path) -> None:
    """What one has indexed another does not look for in the file, and shows the same pixels."""
    content = repack(encode(photograph((701, 502))), Packing(precincts=((6, 6), (7, 7))))
    first, later = (MemoryBlob("a.jph", content) for _ in range(2))
    expected = read(decoder(tmp_path / "other").open(first), first, 0, REGION)
    decoder(tmp_path / "kept").index(MemoryBlob("a.jph", content))
    second = decoder(tmp_path / "kept")
    assert second.is_indexed(later)
    assert not second.is_indexed(MemoryBlob("b.jph", content + b"?"))
    assert np.array_equal(read(second.open(later), later, 0, REGION), expected)
    assert len(later.asked) < len(first.asked)
    assert [state.problem for state in second.examine_stores()] == [""]
