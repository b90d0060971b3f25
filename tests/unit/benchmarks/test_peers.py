"""The comparison with other servers: what it asks for, and what it makes of the answers."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openslide import OpenSlide
from PIL import Image
from sidecar_jp2.testing import compress
from sidecar_openslide.sample import pyramid, tissue, write_svs

from sidecar.plugin import Size
from tests.benchmarks import files
from tests.benchmarks.peers import pages, plots
from tests.benchmarks.peers.bare import tile
from tests.benchmarks.peers.bounds import bounds
from tests.benchmarks.peers.client import Answer
from tests.benchmarks.peers.measure import measured
from tests.benchmarks.peers.peer import Server
from tests.benchmarks.peers.picture import Picture, picture
from tests.benchmarks.peers.plan import BARE, EXACT, NGINX, PICTURES, Part, chosen, rounds_of
from tests.benchmarks.peers.results import Case, Results, Round, firsts, keep, kept, rates
from tests.benchmarks.peers.same import pixels
from tests.benchmarks.peers.single_tiles import RANDOM, STORED, places
from tests.benchmarks.peers.tables import kept_table, picture_tables
from tests.benchmarks.peers.tile_server import application
from tests.benchmarks.peers.viewing import Viewing
from tests.benchmarks.peers.whole_views import CROWD, LARGE, WHOLE

LABEL = files.LABELS[files.SINGLE_LOSSLESS]
MB = 1e6


def played(took: float, first: float = 0.1, memory: float = 100 * MB) -> Round:
    """Return a round of ten responses."""
    return Round(took, [first] * 10, [2 * first] * 10, 1000, 0.5, 2000, int(memory))


def results(*cases: Case) -> Results:
    """Return a run of two peers."""
    return Results("a machine", "2026-01-02", {"sidecar": "1", "iipsrv": "1.1"}, {"Cantaloupe": "not here"}, [*cases])


OURS = Case(LABEL, "viewers-6", "sidecar", [played(1.0), played(4.0), played(1.0)])
THEIRS = Case(LABEL, "viewers-6", "iipsrv", [played(4.0, 0.8), played(20.0, 0.2), played(3.0, 0.3)])


class Asked:
    """Answers at once."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def prepare(self, words: object) -> None:
        """Nothing."""

    def get(self, words: str) -> Answer:
        """Answer."""
        self.words.append(words)
        return Answer(0.1, 0.2, 7)

    def close(self) -> None:
        """Nothing."""


def answering(asker: Asked, name: str, connections: int) -> Asked:
    """Return what answers, whatever is asked for."""
    del name, connections
    return asker


def test_ratios_are_of_the_same_round() -> None:
    """A machine that is slow for a whole round changes no ratio of that round."""
    assert rates(OURS, THEIRS).rounds == [4.0, 5.0, 3.0]
    assert (rates(OURS, THEIRS).middle, rates(OURS, THEIRS).spread) == (4.0, (3.0, 5.0))
    assert firsts(OURS, THEIRS).rounds == pytest.approx([8.0, 2.0, 3.0])


def test_a_case_has_the_figures_of_a_response() -> None:
    """Processor time and bytes read are those of one response, memory is the peak of all rounds."""
    case = Case(LABEL, "tiles", "sidecar", [played(1.0, 0.1, 90 * MB), played(2.0, 0.3, 120 * MB)])
    assert (case.work, case.read, case.memory) == (0.05, 200, 120 * MB)
    assert (case.rate, case.first, case.last, case.late) == pytest.approx((7.5, 0.2, 0.4, 0.6))


def test_bounds_are_kept_missed_or_not_measured() -> None:
    """The table tells what was reached from what was not, and from what nobody has measured."""
    lines = kept_table(results(OURS, THEIRS)).splitlines()
    figure = f"| {LABEL}, viewers-6: responses a second of sidecar to"
    assert f"{figure} iipsrv | ≥ 4.00 times | 4.00 times (3.00, 5.00) | kept |" in lines
    assert "not measured" not in kept_table(results(OURS, THEIRS), measured_only=True)
    worse = Case(LABEL, "viewers-6", "iipsrv", [played(3.0)] * 3)
    assert "3.00 times (0.75, 3.00) | **missed** |" in kept_table(results(OURS, worse))
    assert f"{figure} Cantaloupe | ≥ 6.00 times | not measured |  |" in lines


def test_a_bound_from_above_is_missed_above_it() -> None:
    """Memory is to be at most so much."""
    crowd = [Case(LABEL, CROWD.name, "sidecar", [played(9.0, memory=size * MB)]) for size in (590, 610)]
    found = [next(each for each in bounds(results(case)) if CROWD.name in each.what) for case in crowd]
    assert [(each.kept, each.reached and each.reached.middle) for each in found] == [(True, 590), (False, 610)]


def test_first_bytes_are_compared_by_time() -> None:
    """A first byte after an eighth of the time is eight times as early."""
    pair = [Case(LABEL, LARGE.name, name, [played(9.0, first)]) for name, first in (("sidecar", 0.1), ("iipsrv", 0.8))]
    found = next(each for each in bounds(results(*pair)) if "first bytes" in each.what)
    assert found.reached
    assert found.reached.middle == pytest.approx(8.0)


def test_tables_have_a_row_for_each_peer() -> None:
    """Our row has no ratio, a peer's has it with its spread."""
    ((label, table),) = picture_tables(results(OURS, THEIRS))
    ours, theirs = table.splitlines()[2:]
    assert label == LABEL
    assert ours.split(" | ")[:3] == ["| 2 viewers, 6 connections each: sidecar", "10.0", ""]
    assert theirs.split(" | ")[:3] == ["| 2 viewers, 6 connections each: iipsrv", "2.50", "4.00 (3.00, 5.00)"]


def test_a_run_is_kept(tmp_path: Path) -> None:
    """What was measured can be read again, and pages can be made of it."""
    keep(results(OURS, THEIRS), tmp_path / "new" / "peers.json")
    assert pages.figures(kept(tmp_path / "new" / "peers.json")) == pages.figures(results(OURS, THEIRS))


def test_pages_change_between_their_marks(tmp_path: Path) -> None:
    """Page and README keep what is written by hand; the machine, the versions and who is missing are named."""
    page, readme = tmp_path / "peers.md", tmp_path / "README.md"
    for path in (page, readme):
        path.write_text("before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n")
    pages.write(results(OURS, THEIRS), page, readme)
    for path in (page, readme):
        text = path.read_text()
        assert text.startswith("before\n<!-- peers -->\n")
        assert text.endswith("<!-- /peers -->\nafter\n")
        assert "old" not in text
    assert "](../tests/benchmarks/results/peers-viewers.svg)" in page.read_text()
    assert "](tests/benchmarks/results/peers-viewers.svg)" in readme.read_text()
    assert "a machine" in page.read_text()
    assert "- Cantaloupe took no part: not here\n" in page.read_text()
    assert f"| {LABEL} | 10.0 | 2.50: 4.00 times (3.00, 5.00) |" in readme.read_text()


def test_plots_show_who_was_measured(tmp_path: Path) -> None:
    """A plot names the peers that took part, and there is none of what was not played."""
    (path,) = plots.draw(results(OURS, THEIRS), tmp_path)
    text = path.read_text()
    assert path.name == "peers-viewers.svg"
    assert [name for name in ("sidecar", "iipsrv", "Cantaloupe") if f">{name}<" in text] == ["sidecar", "iipsrv"]


def test_plots_have_no_bar_for_what_a_peer_did_not_play(tmp_path: Path) -> None:
    """Somebody who was left out of one workload leaves a gap there."""
    more = Case(files.LABELS[files.SINGLE], "viewers-6", "sidecar", [played(0.5)])
    (path,) = plots.draw(results(OURS, THEIRS, more), tmp_path)
    assert "nan" not in path.read_text().lower()


def test_workloads_are_chosen_by_words() -> None:
    """All words of one alternative have to be there."""
    assert chosen("", "tiles 80 MP")
    assert chosen("viewers-6 lossless, tiles", "tiles 80 MP, one tile")
    assert not chosen("viewers-6 lossless", "viewers-6 80 MP, tiles")


def test_some_peers_take_part_in_few_workloads() -> None:
    """Every bit is decoded of lossless pictures only; the script has tiles only, nginx stored ones."""

    def who(name: str, workload: Any) -> list[str]:
        kind = "slide" if name == files.SLIDE else "jp2"
        return [*Part(Picture(name, "", Size(9, 9), kind), ()).peers(workload)]

    assert who(files.SINGLE_LOSSLESS, Viewing("viewers-6")) == ["sidecar", EXACT, "iipsrv", "Cantaloupe"]
    assert who(files.SINGLE, RANDOM) == ["sidecar", "iipsrv", "Cantaloupe", BARE]
    assert who(files.SLIDE, STORED) == ["sidecar", "DeepZoom", "large_image", NGINX]
    assert who(files.SINGLE, CROWD) == ["sidecar"]
    assert rounds_of(WHOLE, 1) == rounds_of(WHOLE, 3) == 1


def test_every_picture_has_a_label_and_other_workloads() -> None:
    """No workload is played twice with a picture."""
    for name, (_, workloads) in PICTURES.items():
        assert name in files.LABELS
        assert len({each.name for each in workloads}) == len(workloads)


@given(st.integers(512, 9000), st.integers(512, 9000), st.integers())
def test_random_tiles_lie_in_the_picture(width: int, height: int, seed: int) -> None:
    """They are whole tiles of a viewer's grid, each once, and the script finds them in the level that they are of."""
    draw = random.Random(seed)  # noqa: S311  # no secret
    words = [*islice(places(Size(width, height), (1, 2, 4), 512, draw), 40)]
    assert len(set(words)) == len(words)
    for level, region in map(tile, words):
        assert (region.width, region.height) == (512, 512)
        assert region.x % 512 == region.y % 512 == 0
        assert region.right << level <= width
        assert region.bottom << level <= height


def test_small_pictures_have_no_tiles_of_coarse_scales() -> None:
    """Tiles are asked for at the scales that the picture has whole tiles of."""
    asked = Asked()
    server = Server(partial(answering, asked), lambda: [os.getpid()])
    RANDOM.play(server, Picture("a", "a", Size(4096, 1100)), 1)
    assert {tile(words)[0] for words in asked.words} == {0, 1}


def test_the_size_of_a_picture_is_read_from_the_file(tmp_path: Path) -> None:
    """SIZ has it, wherever the codestream begins."""
    path = tmp_path / files.SINGLE
    path.write_bytes(b"boxes before" + compress([np.zeros((30, 50), int)], (50, 30), ((1, 1),), "-n", "2"))
    assert picture(path) == Picture(files.SINGLE, files.LABELS[files.SINGLE], Size(50, 30))


def jpeg(**options: Any) -> bytes:
    """Return a small JPEG."""
    file = io.BytesIO()
    Image.fromarray(tissue(Size(64, 64))).save(file, "JPEG", **options)
    return file.getvalue()


def test_other_qualities_are_not_compared() -> None:
    """Responses of another quality or subsampling are refused; equal ones give pixels."""
    assert pixels("a", jpeg(quality=80, subsampling=2)).shape == (64, 64, 3)
    with pytest.raises(AssertionError, match="not 4:2:0"):
        pixels("a", jpeg(quality=80, subsampling=0))
    with pytest.raises(AssertionError, match="not quality 80"):
        pixels("a", jpeg(quality=85, subsampling=2))


def test_peers_are_asked_for_the_same() -> None:
    """A turn of a workload asks for the same every time, another turn for something else; nothing is lost."""
    size = Size(10_000, 8000)
    for workload in (RANDOM, LARGE, CROWD, Viewing("viewers-6")):
        asked = [Asked() for _ in range(3)]
        for one, turn in zip(asked, (1, 1, 2), strict=True):
            server = Server(partial(answering, one), lambda: [os.getpid()])
            found = measured(workload, server, Picture("a", "a", size), turn)
            assert len(found.lasts) == len(one.words)
            assert found.size == 7 * len(one.words)
        first, again, other = (sorted(one.words) for one in asked)
        assert first == again
        assert first != other


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Return a folder with a slide of 1200 by 900, with a level at 1:4."""
    picture = tissue(Size(1200, 900))
    write_svs(tmp_path / "a.svs", pyramid(picture, [Size(300, 225)]))
    return tmp_path


def ask(app: Callable[..., Any], path: str) -> tuple[str, bytes]:
    """Return status and body of a WSGI application's response."""
    statuses: list[str] = []

    def start(status: str, headers: Mapping[str, str]) -> None:
        del headers
        statuses.append(status)

    body = b"".join(app({"PATH_INFO": path}, start))
    return statuses[0], body


def test_deepzoom_serves_the_tiles_that_viewers_ask_for(slides: Path) -> None:
    """Its tiles show what OpenSlide reads there, and a viewer learns the size."""
    app = application("deepzoom", str(slides), 80)
    assert json.loads(ask(app, "/iiif/2/a.svs/info.json")[1]) == {"width": 1200, "height": 900}
    status, body = ask(app, "/iiif/2/a.svs/512,0,512,512/512,/0/default.jpg")
    assert status == "200 OK"
    with OpenSlide(slides / "a.svs") as slide:
        exact = np.asarray(slide.read_region((512, 0), 0, (512, 512)).convert("RGB"), np.int16)
    assert np.abs(pixels("DeepZoom", body) - exact).mean() < 4
    for words, size in (
        ("0,0,1024,900/512,", (512, 450)),
        ("full/300,", (300, 225)),
        ("1024,512,176,388/176,", (176, 388)),
    ):
        with Image.open(io.BytesIO(ask(app, f"/iiif/2/a.svs/{words}/0/default.jpg")[1])) as image:
            assert image.size == size
    assert ask(app, "/iiif/2/b.svs/info.json")[0] == "404 Not Found"
