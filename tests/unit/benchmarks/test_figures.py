"""The logic of the benchmarks: what they measure with must be right too."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.format.header_blocks import BlockCachedBlob
from sidecar_jp2.format.main_header import read_main_header
from sidecar_jp2.format.tile_part_header import parse_tlm
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.testing import compress, read

from sidecar.plugin import Pixels, Size
from sidecar.testing.fakes import MemoryBlob
from tests.benchmarks import mosaic, photograph
from tests.benchmarks.figures import Chart, Must, Report, markdown
from tests.benchmarks.link import Asked, rounds_of_waiting
from tests.benchmarks.rounds import ratio, turns

OPTIONS = ("-t", "64,64", "-I", "-r", "4", "-n", "4", "-PLT", "-TLM", "-TP", "R")
TIMES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=8)


def decoded(name: str, content: bytes) -> Pixels:
    """All pixels of a picture."""
    blob = MemoryBlob(name, content)
    return read(Jp2Decoder(OpenJpeg(bind())).open(blob), blob)


def test_a_mosaic_shows_the_whole_tiles_again_and_again(tmp_path: Path) -> None:
    """A codestream laid out of another's tiles decodes to that one's whole tiles side by side."""
    planes = np.random.default_rng(3).integers(0, 255, (3, 150, 200))
    small = compress([*planes], (200, 150), ((1, 1),) * 3, *OPTIONS)
    path = tmp_path / "large.jp2"
    with path.open("wb") as file:
        mosaic.write(file, mosaic.take_apart(small), Size(2, 3))
    whole = decoded("small.j2k", small)[:128, :192]
    assert np.array_equal(decoded("large.jp2", path.read_bytes()), np.tile(whole, (3, 2, 1)))


def test_a_mosaic_has_a_directory() -> None:
    """TLM names every tile-part of the codestream, with the length that it has."""
    planes = np.random.default_rng(3).integers(0, 255, (3, 128, 128))
    tiles = mosaic.take_apart(compress([*planes], (128, 128), ((1, 1),) * 3, *OPTIONS))
    laid = mosaic.take_apart(b"".join(mosaic.lay(tiles, Size(3, 1))))
    header = read_main_header(BlockCachedBlob(MemoryBlob("", b"".join(mosaic.lay(tiles, Size(3, 1))))), 0)
    listed = parse_tlm(header.segments, 12)
    assert listed is not None
    wanted = [(number, len(part)) for number in range(12) for part in laid.parts[number]]
    assert [*zip(listed.tiles.tolist(), listed.lengths.tolist(), strict=True)] == wanted


def test_a_photograph_has_no_seams() -> None:
    """Smooth noise made strip by strip is the same as made in one go."""
    size = Size(90, 300)
    swell = photograph.Swell(np.random.default_rng(1), size, 20, 40.0)
    parts = np.concatenate([swell.rows(start, stop) for start, stop in pairwise([0, 70, 71, 200, 300])])
    assert np.allclose(swell.rows(0, 300), parts, atol=0.01)


def test_requests_side_by_side_wait_once() -> None:
    """Three requests at once and one that begins when the first of them is answered are two rounds."""
    asked = [Asked(0, 30, 1), Asked(1, 32, 1), Asked(2, 35, 1), Asked(31, 60, 1)]
    assert rounds_of_waiting(asked) == 2
    assert rounds_of_waiting([]) == 0


@given(TIMES)
def test_rounds_are_the_longest_chain(times: list[tuple[int, int]]) -> None:
    """The rounds counted are the longest chain of requests that each began when the one before was answered."""
    asked = [Asked(begin, begin + wait, 1) for begin, wait in times]
    longest: dict[float, int] = {}
    for each in sorted(asked, key=lambda one: one.headers):
        before = max((length for end, length in longest.items() if end <= each.begin), default=0)
        longest[each.headers] = max(longest.get(each.headers, 0), before + 1)
    assert rounds_of_waiting(asked) == max(longest.values(), default=0)


def test_every_call_has_its_turn_in_every_round() -> None:
    """Rounds go forwards and backwards in turn."""
    assert [*turns(["a", "b"], 3)] == [(0, "b"), (0, "a"), (1, "a"), (1, "b"), (2, "b"), (2, "a")]


def test_a_ratio_compares_within_rounds() -> None:
    """Machines slow down for whole rounds: the median is of the rounds' ratios, not the ratio of medians."""
    times = {"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 6.0], "c": [1.0, 40.0, 1.0]}
    assert ratio(times, "a", "b") == 0.5
    assert ratio(times, "a", "b", "c") == 0.5
    assert ratio(times, "a", "b", "c", join=sum) == pytest.approx(0.4)


def test_a_report_says_what_was_missed() -> None:
    """Markdown has a row for each line, and tells what does not hold from what does."""
    musts = [Must("time", 1.06, 1.05), Must("memory", 199.6, 200, " MB")]
    page = markdown(Report("Title", ("", "ms"), [("a", 12.34), ("b", 7)], Chart("ms", (), {}), musts))
    assert "| a | 12.3 |\n| b | 7 |" in page
    assert "- MISSED: time: 1.06 ≤ 1.05\n- kept: memory: 200 ≤ 200 MB" in page
