"""Damaged files behind all of a site: an error, Cantaloupe, or the very pixels of the whole file; others go on."""

from __future__ import annotations

import io
import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sidecar_jp2.testing import box, colr, ihdr, jp2, picture, profile

from tests.nginx.peers import Answer, ask
from tests.resilience.corruption import cuts
from tests.resilience.known_answers import TILES, truths
from tests.resilience.load_clients import GOOD, Crowd
from tests.resilience.processes import rss
from tests.resilience.site import Site, cantaloupes

MEMORY = 128 * 2**20
"""What all work of a worker may take."""
OVERHEAD = 96 * 2**20
"""What Python's own structures, the allocator's slack and a second worker's warming up may add."""
PARTS = ("info.json", "0,0,30,30/max/0/default.png", "full/max/0/default.png", "full/16,/0/default.jpg")
MILLION = 10**6


@dataclass(frozen=True)
class Stage:
    """A site and the folder it serves."""

    site: Site
    folder: Path

    def show(self, name: str, part: str) -> Answer | None:
        """Ask for a part of a file; return None if the response breaks off."""
        try:
            return ask(self.site.port, f"/iiif/3/{name}/{part}")
        except (OSError, HTTPException):
            return None


@pytest.fixture(scope="module")
def stage(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A site that watches its memory."""
    home = tmp_path_factory.mktemp("files")
    folder = home / "images"
    folder.mkdir()
    for question in TILES:
        (folder / question.name).write_bytes((images / question.name).read_bytes())
    with Site(
        home / "site", folder, f"log_level = 'warning'\nmemory_bytes = {MEMORY}\n[openslide]\nsuffixes = ['svs']"
    ) as site:
        yield Stage(site, folder)


def is_refusal(answer: Answer | None, name: str, part: str) -> bool:
    """Whether there is no picture: an error, Cantaloupe's answer, or one that broke off."""
    return answer is None or answer.status >= 400 or answer.body == cantaloupes(f"/iiif/3/{name}/{part}")


def is_whole(answer: Answer) -> bool:
    """Whether a 200 is a picture that can be shown to its end, or a description."""
    if answer.headers["Content-Type"].startswith("application/"):
        return bool(json.loads(answer.body)["width"])
    with Image.open(io.BytesIO(answer.body)) as image:
        image.load()
        return image.size > (0, 0)


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "64,64", "-n", "3", "-p", "RPCL", "-PLT", "-TLM"),
        ("-n", "3", "-p", "RPCL", "-PLT", "-TP", "R", "-SOP", "-EPH", "-c", "[32,32]"),
    ],
    ids=["tiles", "tile-parts"],
)
def test_files_cut_at_every_marker(stage: Stage, options: tuple[str, ...]) -> None:
    """Wherever a file ends, a 200 has the pixels of the whole file, and others are answered as ever."""
    content = jp2(picture((150, 100), *options), ihdr(3, (150, 100)), colr(16))
    (stage.folder / "whole.jp2").write_bytes(content)
    truth = {part: stage.show("whole.jp2", part) for part in PARTS[1:]}
    known = truths(stage.site, stage.folder, TILES)
    kinds = Counter[str]()
    with Crowd(stage.site.port, known).asking([*known]) as tally:
        for at in cuts(content):
            name = f"{len(options)}-{at}.jp2"
            (stage.folder / name).write_bytes(content[:at])
            for part, right in truth.items():
                answer = stage.show(name, part)
                kinds["refused" if is_refusal(answer, name, part) else "shown"] += 1
                assert right is not None
                assert is_refusal(answer, name, part) or (answer is not None and answer.body == right.body), (at, part)
    assert not tally.wrong
    assert not tally.unanswered
    assert {*tally.verdicts} <= {*GOOD}
    assert kinds["refused"] > kinds["shown"]
    stage.site.rests()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 260), st.integers(1, 255)), min_size=1, max_size=3))
def test_files_with_changed_bytes(stage: Stage, changes: list[tuple[int, int]]) -> None:
    """Whatever is changed in boxes and main header, a 200 is a whole picture."""
    content = bytearray(jp2(SMALL, ihdr(3, (60, 40)), colr(16)))
    for at, bits in changes:
        content[at] ^= bits
    (stage.folder / "changed.jp2").write_bytes(content)
    for part in PARTS:
        answer = stage.show("changed.jp2", part)
        assert is_refusal(answer, "changed.jp2", part) or (answer is not None and is_whole(answer))


SMALL = picture((60, 40), "-n", "2", "-t", "32,32", "-PLT")


def claiming(width: int, height: int, padding: int = 0) -> bytes:
    """Return a file of one tile that claims to be huge; padding follows the packets, where nothing reads it."""
    small = bytearray(picture((32, 32), "-n", "6", steps=((1, 1),)))
    struct.pack_into(">II", small, 8, width, height)
    struct.pack_into(">II", small, 24, width, height)
    at = small.index(b"\xff\x90\x00\x0a")
    struct.pack_into(">I", small, at + 6, len(small) - 2 - at + padding)
    return jp2(bytes(small[:-2]) + bytes(padding) + b"\xff\xd9", ihdr(1, (width, height)), colr(17))


@pytest.mark.parametrize(
    "size,padding",
    [((60_000, 60_000), 0), ((30_000, 30_000), 4000), ((60_000, 60_000), MILLION), ((2**31 - 1, 1), 5000)],
)
def test_decompression_bombs(stage: Stage, size: tuple[int, int], padding: int) -> None:
    """A small file with a huge picture takes no more memory than all work may, and comes to an error."""
    (stage.folder / "bomb.jp2").write_bytes(claiming(*size, padding))
    before = peaks(stage.site)
    for part in (
        "info.json",
        "full/max/0/default.jpg",
        "full/512,/0/default.png",
        f"0,0,{size[0]},512/512,/0/default.png",
    ):
        answer = stage.show("bomb.jp2", part)
        assert part == "info.json" or is_refusal(answer, "bomb.jp2", part), part
    stage.site.rests()
    assert all(peak - before[pid] < MEMORY + OVERHEAD for pid, peak in peaks(stage.site).items())


def peaks(site: Site) -> dict[int, int]:
    """The most memory that each process has ever had."""
    return {pid: rss(pid, "VmHWM") for pid in site.processes}


def test_answers_wider_than_a_format_holds(stage: Stage) -> None:
    """JPEG ends at 65535 pixels a side (ITU-T T.81 B.2.2): what is wider is not cut, PNG holds it."""
    (stage.folder / "wide.jp2").write_bytes(
        jp2(picture((70_000, 4), "-n", "3", steps=((1, 1),)), ihdr(1, (70_000, 4)), colr(17))
    )
    assert is_refusal(stage.show("wide.jp2", "full/max/0/default.jpg"), "wide.jp2", "full/max/0/default.jpg")
    answer = stage.show("wide.jp2", "full/max/0/default.png")
    assert answer is not None
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.size == (70_000, 4)


def test_boxes_of_absurd_size(stage: Stage) -> None:
    """Boxes that claim to be endless are refused; much text is passed over unread; a profile of 17 MB is refused."""
    small, header = SMALL, (ihdr(3, (60, 40)), colr(16))
    whole = jp2(small, *header)
    at = whole.index(b"jp2h") - 4
    before = peaks(stage.site)
    endless = struct.pack(">I4sQ", 1, b"xml ", 2**63)
    cases = {
        "endless": (whole[:at] + endless + whole[at:], False),
        "overlong": (whole[:at] + struct.pack(">I4s", 2**32 - 1, b"xml ") + whole[at:], False),
        "text": (whole[:at] + box(b"xml ", b" " * 50 * MILLION) + whole[at:], True),
        "profile": (jp2(small, ihdr(3, (60, 40)), profile(bytes(17 * MILLION))), False),
        "liar": (whole[: at - 2] + whole[at:], False),
    }
    for name, (content, good) in cases.items():
        (stage.folder / f"{name}.jp2").write_bytes(content)
        for part in PARTS:
            answer = stage.show(f"{name}.jp2", part)
            assert is_refusal(answer, f"{name}.jp2", part) != good, (name, part)
    assert all(peak - before[pid] < OVERHEAD for pid, peak in peaks(stage.site).items())
