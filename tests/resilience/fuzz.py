"""Files that reach new code in the JPEG 2000 structure reader: `python -m tests.resilience.fuzz --seconds 600`.

They are kept in tests/data/fuzz; what raises anything but SidecarError is kept there too, and named.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer
from PIL import ImageCms
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.extract.small_codestream import SmallCodestream
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import box, cdef, cmap, colr, ihdr, jp2, pclr, picture, profile

from sidecar.plugin import Rect, SidecarError, run_inline
from sidecar.testing.fakes import MemoryBlob
from tests.resilience.corruption import mutated

CORPUS: Final = Path(__file__).parents[1] / "data" / "fuzz"
SIDE: Final = 24
Arc = tuple[str, int, int]


def exercise(content: bytes) -> MemoryBlob:
    """Do everything with a file that comes before OpenJPEG: open it, and find the bytes of two windows of two levels.

    Raises what that raises; AssertionError if a window asks for bytes that are not there.
    """
    blob = MemoryBlob("a.jp2", content)
    reader = Jp2Decoder(OPENJPEG, extractors=partial(IndexedExtractor, IndexCache(run_inline, 1 << 24))).open(blob)
    for level in {0, len(reader.info.levels) - 1}:
        size = reader.info.levels[level].size
        corner = Rect(
            max(size.width - SIDE, 0), max(size.height - SIDE, 0), min(size.width, SIDE), min(size.height, SIDE)
        )
        for region in (corner, Rect(0, 0, size.width, size.height)):
            window = reader.window(level, region)
            assert all(0 <= part.start < part.stop <= len(content) for part in window.ranges)
            if isinstance(window.extraction, SmallCodestream):
                window.extraction.build(blob.read(window.ranges))
    return blob


OPENJPEG: Final = OpenJpeg(bind())


def seeds() -> list[bytes]:
    """Small files of each kind of structure there is."""
    tiles = picture((100, 70), "-t", "40,40", "-n", "3", "-p", "RPCL", "-PLT", "-TLM", "-r", "60")
    parts = picture((90, 60), "-n", "3", "-p", "RPCL", "-PLT", "-TP", "R", "-SOP", "-EPH", "-c", "[16,16]", "-r", "60")
    gray = picture((50, 40), "-n", "2", "-r", "40,20", steps=((1, 1),))
    halves = picture((64, 64), "-n", "2", "-r", "60", steps=((1, 1), (2, 2), (2, 2)))
    palette = pclr([(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)], (8, 8, 8))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = box(b"xml ", b"<a/>") + box(b"uuid", bytes(30))
    return [
        tiles,
        parts,
        halves,
        jp2(tiles, ihdr(3, (100, 70)), colr(16)),
        jp2(gray, ihdr(1, (50, 40)), colr(17), cdef((0, 0, 1))) + text,
        jp2(gray, ihdr(1, (50, 40)), palette, cmap((0, 1, 0), (0, 1, 1), (0, 1, 2)), colr(16)),
        jp2(parts, ihdr(3, (90, 60)), profile(icc), colr(16), cdef((0, 0, 1), (1, 0, 2), (2, 0, 3))),
    ]


def arcs(call: Callable[[], object]) -> set[Arc]:
    """The steps from line to line of the structure reader that a call takes."""
    taken: set[Arc] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if "sidecar_jp2" not in name:
            return None
        last = frame.f_lineno

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                taken.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        taken.add((name, 0, last))
        return line if event == "call" else None

    sys.settrace(trace)
    try:
        call()
    except SidecarError:
        pass
    finally:
        sys.settrace(None)
    return taken


def corpus() -> list[bytes]:
    """The files kept."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.jp2"))]


def keep(content: bytes, prefix: str = "") -> None:
    """Keep a file, by a name of its content."""
    CORPUS.mkdir(exist_ok=True)
    name = hashlib.blake2b(content, digest_size=6).hexdigest()
    (CORPUS / f"{prefix}{name}.jp2").write_bytes(content)


def grow(known: Iterable[bytes], seconds: float, seed: int) -> int:
    """Change files at random and keep those that reach something new; how many surprises there were."""
    draw, ends = random.Random(seed), time.monotonic() + seconds  # noqa: S311  # a search that can be repeated
    pool, seen, surprises, tried = [*known], set[Arc](), 0, 0
    for content in pool:
        seen |= arcs(lambda content=content: exercise(content))  # type: ignore[misc]
    while time.monotonic() < ends:
        tried += 1
        content = mutated(draw.randrange, pool)
        try:
            fresh = arcs(lambda content=content: exercise(content)) - seen  # type: ignore[misc]
        except Exception:  # noqa: BLE001  # that is what is looked for
            surprises += 1
            keep(content, "surprise-")
            traceback.print_exc()
            continue
        if fresh:
            seen |= fresh
            pool.append(content)
            keep(content)
    sys.stdout.write(f"{tried} files, {len(pool)} kept, {len(seen)} steps, {surprises} surprises\n")
    return surprises


def main(seconds: Annotated[float, typer.Option()] = 60.0, seed: Annotated[int, typer.Option()] = 0) -> None:
    """Look for files that reach something new."""
    known = corpus()
    if not known:
        known = seeds()
        for content in known:
            keep(content, "seed-")
    sys.exit(bool(grow(known, seconds, seed)))


if __name__ == "__main__":
    typer.run(main)
