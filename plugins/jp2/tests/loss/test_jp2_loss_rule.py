"""What may be lost of an image: within the bound by JPEGs we did not make, measured when idle, and kept."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import ParamSpec, TypeVar

import gevent
import numpy as np
import pytest
import sidecar_jp2
from PIL import Image
from sidecar_jp2 import lossy
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.index.kept_images import KeptImages
from sidecar_jp2.loss.dropped_planes import Loss
from sidecar_jp2.loss.idle_work import IdleWork
from sidecar_jp2.loss.loss_table import LossKey
from sidecar_jp2.lossy import LossRule
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.reader import Jp2Reader
from sidecar_jp2.settings import Jp2Settings
from sidecar_jp2.store.kept_entries import KeptEntries
from sidecar_jp2.store.packing import Packing
from sidecar_jp2.store.sqlite_store import SqliteStore
from sidecar_jp2.testing import colr, compress, ihdr, jp2, picture

from sidecar.plugin import EXACT, Config, Native, Pixels, Rect, Tolerance, run_inline
from sidecar.testing.fakes import MemoryBlob
from sidecar.testing.reading import pixels_of

P = ParamSpec("P")
T = TypeVar("T")
ALLOWED = 0.1
IDLE = IdleWork(0, 0)
IMAGES = Path(__file__).parents[4] / "tests" / "data" / "images"
SUBSAMPLING = {"4:2:0": 2, "4:4:4": 0, "gray": 0}
ONE_TILE = ("-n", "4", "-PLT", "-c", "[256,256],[256,256],[128,128],[128,128]")
TILES = ("-n", "4", "-PLT", "-t", "512,512")


def scene(kind: str, width: int = 1024, height: int = 768) -> list[np.ndarray[tuple[int, int], np.dtype[np.uint16]]]:
    """Return red, green and blue of a picture: a photograph with noise, a smooth page, saturated colours, a scan."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    made = []
    for channel in range(3):
        swell = 128 + 60 * np.sin(x / (90 + 7 * channel)) * np.cos(y / 70) + 25 * np.sin((x + 2 * y) / 23)
        blocks = ((x // 160 + y // 120) * (channel + 3) % 7) * 12
        values = {
            "photograph": swell + blocks - 36 + random.normal(0, 2.5, x.shape),
            "page": np.full(x.shape, 246.0) - 200 * ((x // 3 + y // 9) % 41 == 0),
            "saturated": 255.0 * ((x // 40 + y // 30) % 3 == channel) + random.normal(0, 1, x.shape),
            "scan": swell + random.normal(0, 9, x.shape),
        }
        made.append(np.clip(values[kind], 0, 255).astype(np.uint16))
    return made


@functools.cache
def file(kind: str, *options: str) -> bytes:
    """Return a JP2 of a scene."""
    planes = scene(kind)
    size = planes[0].shape[1], planes[0].shape[0]
    return jp2(compress(planes, size, ((1, 1),) * 3, *options), ihdr(3, size), colr(16))


class Noting:
    """Runs calls inline, and notes the images that they work on."""

    def __init__(self) -> None:
        self.images: list[str] = []

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call at once, in the calling thread."""
        return call(*args, **kwargs)

    def for_image(self, image: str) -> Noting:
        """Note an image."""
        self.images.append(image)
        return self


class WithBackground(Noting):
    """Notes the images that calls in the background work on apart from those of other calls."""

    def __init__(self) -> None:
        super().__init__()
        self.background = Noting()


def reader_of(
    content: bytes, disk: SqliteStore | None = None, decibels: float = ALLOWED, native: Native = run_inline
) -> Jp2Reader:
    """Return a reader that measures at once."""
    kept = KeptImages(KeptEntries(run_inline, Packing(), disk)) if disk else None
    extractors = functools.partial(IndexedExtractor, IndexCache(run_inline, 1 << 24, kept))
    rule = LossRule(decibels, native, IDLE) if decibels else None
    return Jp2Decoder(OpenJpeg(bind()), extractors=extractors, rule=rule).open(MemoryBlob("a.jp2", content))


def wait(idle: IdleWork = IDLE) -> None:
    """Let what waits until the worker is idle be done."""
    while idle.busy:
        gevent.sleep(0.01)


def window(reader: Jp2Reader, level: int, region: Rect, tolerance: Tolerance) -> Pixels:
    """Read a tolerant window."""
    own = reader.tolerant_window(level, region, tolerance=tolerance)
    return pixels_of(reader, own, reader.blob.read(own.ranges))


def psnr(pixels: Pixels, exact: Pixels, tolerance: Tolerance) -> float:
    """Return the PSNR of a JPEG of pixels against the exact ones."""
    written = io.BytesIO()
    picture_ = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture_.save(written, "JPEG", quality=tolerance.quality, subsampling=SUBSAMPLING[tolerance.subsampling])
    shown = np.asarray(Image.open(written), float).reshape(exact.shape)
    return 10 * math.log10(65025 / max(1e-6, float(np.mean((shown - exact) ** 2))))


def edge_errors(pixels: Pixels, exact: Pixels, tolerance: Tolerance) -> Sequence[float]:
    """Return the mean square errors of the three outermost columns and rows on each side of a JPEG of pixels."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(
        written, "JPEG", quality=tolerance.quality, subsampling=SUBSAMPLING[tolerance.subsampling]
    )
    errors = (np.asarray(Image.open(written), float) - exact) ** 2
    return [float(part.mean()) for part in (errors[:, :3], errors[:, -3:], errors[:3], errors[-3:])]


def losses(reader: Jp2Reader, level: int, tolerance: Tolerance) -> Iterator[float]:
    """Yield what each window of 512 pixels loses, in decibels."""
    size = reader.info.levels[level].size
    for y in range(0, max(size.height - 300, 1), 512):
        for x in range(0, max(size.width - 300, 1), 512):
            region = Rect(x, y, min(512, size.width - x), min(512, size.height - y))
            colors = 1 if reader.info.channels == 1 else 3
            exact, lossy = (window(reader, level, region, each)[..., :colors] for each in (EXACT, tolerance))
            yield psnr(exact, exact, tolerance) - psnr(lossy, exact, tolerance)


@pytest.mark.parametrize(
    "kind, options, tolerance, level",
    [
        ("photograph", ONE_TILE, Tolerance(80, "4:2:0"), 0),
        ("photograph", TILES, Tolerance(50, "4:2:0"), 1),
        ("photograph", (*ONE_TILE, "-I", "-r", "8"), Tolerance(80, "4:2:0"), 1),
        ("photograph", (*TILES, "-I", "-r", "6"), Tolerance(94, "4:4:4"), 0),
        ("photograph", (*ONE_TILE, "-r", "12,6,2"), Tolerance(85, "4:2:0"), 0),
        ("page", ONE_TILE, Tolerance(80, "4:2:0"), 1),
        ("saturated", TILES, Tolerance(80, "4:2:0"), 0),
        ("scan", (*TILES, "-I", "-r", "8"), Tolerance(75, "4:2:0"), 2),
    ],
)
def test_a_jpeg_loses_no_more_than_is_allowed(
    kind: str, options: tuple[str, ...], tolerance: Tolerance, level: int
) -> None:
    """Windows lose the allowed decibels in the mean, and 2.5 times as much at most."""
    reader = reader_of(file(kind, *options))
    window(reader, level, Rect(0, 0, 64, 64), tolerance)
    wait()
    found = [*losses(reader, level, tolerance)]
    assert np.mean(found) <= ALLOWED
    assert max(found) <= 2.5 * ALLOWED


@pytest.mark.parametrize("options", [ONE_TILE, (*ONE_TILE, "-I", "-r", "8")])
def test_edges_of_neighbours_that_are_decoded_together(options: tuple[str, ...]) -> None:
    """Tiles cut out of one window lose no more than is allowed, five times as much at any of their edges."""
    tolerance = Tolerance(80, "4:2:0")
    reader = reader_of(file("photograph", *options))
    window(reader, 0, Rect(0, 0, 64, 64), tolerance)
    wait()
    hull = Rect(256, 128, 512, 512)
    together = window(reader, 0, hull, tolerance)
    tiles = [Rect(x, y, 256, 256) for y in (128, 384) for x in (256, 512)]
    lost, edges = [], []
    for tile in tiles:
        exact = window(reader, 0, tile, EXACT)
        x, y = tile.x - hull.x, tile.y - hull.y
        own = together[y : y + tile.height, x : x + tile.width]
        lost.append(psnr(exact, exact, tolerance) - psnr(own, exact, tolerance))
        pairs = zip(edge_errors(own, exact, tolerance), edge_errors(exact, exact, tolerance), strict=True)
        edges += [10 * math.log10(worse / better) for worse, better in pairs]
    assert any(not np.array_equal(window(reader, 0, tile, tolerance), window(reader, 0, tile, EXACT)) for tile in tiles)
    assert np.mean(lost) <= ALLOWED
    assert max(lost) <= 2.5 * ALLOWED
    assert np.mean(edges) <= 5 * ALLOWED


def test_what_is_not_known_yet_is_exact() -> None:
    """Until the worker was idle, a tolerant window is the window; afterwards fewer bits are decoded."""
    reader = reader_of(file("photograph", *TILES))
    region, tolerance = Rect(100, 100, 300, 300), Tolerance(80, "4:2:0")
    exact = window(reader, 0, region, EXACT)
    np.testing.assert_array_equal(window(reader, 0, region, tolerance), exact)
    wait()
    assert (window(reader, 0, region, tolerance) != exact).any()
    np.testing.assert_array_equal(window(reader, 0, region, EXACT), exact)


def test_what_is_measured_is_noted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that measure are for their image, which a crash then accuses; what would take too much memory is exact."""
    region, tolerance, native = Rect(100, 100, 300, 300), Tolerance(80, "4:2:0"), Noting()
    reader = reader_of(file("photograph", *TILES), native=native)
    window(reader, 0, region, tolerance)
    wait()
    assert native.images == [reader.blob.etag]
    assert reader.tolerant_window(0, region, tolerance=tolerance) != reader.window(0, region)
    monkeypatch.setattr(lossy, "MEASURING_BYTES", reader.info.levels[0].fixed_bytes)
    reader = reader_of(file("photograph", *TILES))
    window(reader, 0, region, tolerance)
    wait()
    assert reader.tolerant_window(0, region, tolerance=tolerance) == reader.window(0, region)


def test_it_is_measured_in_the_background() -> None:
    """The decoder as it is registered decodes for its measurements where nobody waits for a thread."""
    native = WithBackground()
    (decoder,) = sidecar_jp2.register_decoders(Config.of(Jp2Settings()), native)
    assert isinstance(decoder, Jp2Decoder)
    with closing(decoder.open(MemoryBlob("a.jp2", file("photograph", *TILES)))) as reader:
        reader.tolerant_window(0, Rect(0, 0, 256, 256), tolerance=Tolerance(80, "4:2:0"))
        while decoder.learning:
            gevent.sleep(0.01)
        assert native.background.images == [reader.blob.etag]


@pytest.mark.parametrize(
    "make",
    [
        lambda: picture((300, 200), "-PLT", "-n", "3", steps=((1, 1),), depth=4),
        lambda: picture((300, 200), "-PLT", "-n", "3", "-ROI", "c=0,U=3"),
        lambda: picture((300, 200), "-PLT", "-n", "3", "-mct", "0", steps=((1, 1), (2, 2), (2, 2))),
        lambda: picture((300, 200), "-n", "3"),
    ],
    ids=["four bits", "a region of interest", "subsampled", "no packet lengths"],
)
def test_images_that_lose_nothing(make: Callable[[], bytes]) -> None:
    """Images of few bits and of unusual coding are exact."""
    reader = reader_of(make())
    region = Rect(0, 0, 100, 100)
    window(reader, 0, region, Tolerance(60, "4:2:0"))
    wait()
    lossy = reader.tolerant_window(0, region, tolerance=Tolerance(60, "4:2:0"))
    assert lossy == reader.window(0, region)


def test_nothing_is_lost_without_a_rule_and_above_quality_94() -> None:
    """With a loss of 0, and for JPEGs of the highest qualities, windows are exact and nothing is measured."""
    for decibels, quality in ((0.0, 50), (0.1, 95)):
        reader = reader_of(file("photograph", *TILES), decibels=decibels)
        tolerance = Tolerance(quality, "4:2:0")
        assert reader.tolerant_window(0, Rect(0, 0, 99, 99), tolerance=tolerance) == reader.window(
            0, Rect(0, 0, 99, 99)
        )
        wait()
        assert reader.extractor.loss(LossKey(0, tolerance, decibels)) == (False, None)


def test_measurements_are_kept_with_the_index(tmp_path: Path) -> None:
    """Another worker finds on disk what one has measured, also that nothing may be lost."""
    disk = SqliteStore(tmp_path, 1 << 20)
    keys = {
        LossKey(1, Tolerance(80, "4:2:0"), 0.1): Loss(2.0, halved_chroma=True, margin=1, layers=3),
        LossKey(0, Tolerance(90, "gray"), 0.1): None,
    }
    first = reader_of(file("photograph", *TILES), disk)
    for key, loss in keys.items():
        first.extractor.keep(key, loss)
    other = reader_of(file("photograph", *TILES), disk)
    assert [other.extractor.loss(key) for key in keys] == [(True, loss) for loss in keys.values()]


def test_work_waits_for_an_idle_worker(caplog: pytest.LogCaptureFixture) -> None:
    """Jobs are done one after the other once nothing is asked for, one of each key; one that fails stops no other."""
    idle, done = IdleWork(0.05, 10), list[int]()
    idle.add("broken", lambda: done.append(1 // 0))
    idle.add("good", lambda: done.append(1))
    idle.add("good", lambda: done.append(2))
    gevent.sleep(0.01)
    assert not done
    wait(idle)
    assert done == [1]
    assert "a measurement failed" in caplog.text


def test_a_worker_that_is_never_idle_does_its_work_in_the_end() -> None:
    """After the longest wait a job is done though something else is asked for all the time."""
    idle, done = IdleWork(10, 0.05), list[int]()
    idle.note()
    idle.add("job", lambda: done.append(1))
    wait(idle)
    assert done == [1]


@pytest.mark.parametrize("name", ["gray16", "rgba", "tiled_256_tlm_plt"])
def test_recorded_images_lose_no_more_than_is_allowed(name: str) -> None:
    """Of images of 8 and 16 bits, with opacity and tiles, read from a remote store, likewise."""
    reader = reader_of((IMAGES / f"{name}.jp2").read_bytes())
    tolerance = Tolerance(80, "gray" if reader.info.channels == 1 else "4:2:0")
    window(reader, 0, Rect(0, 0, 64, 64), tolerance)
    wait()
    found = [*losses(reader, 0, tolerance)]
    assert np.mean(found) <= ALLOWED
    assert max(found) <= 2.5 * ALLOWED
