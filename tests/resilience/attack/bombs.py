"""Files that cost more than they are: long headers, large profiles, giant tiles, promises that nothing holds."""

from __future__ import annotations

import os
import random
import struct
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sidecar_jp2.testing import SIGNATURE, box, colr, compress, ftyp, ihdr, jp2, picture, planes

from tests.fuzz.mutation import changed, scattered
from tests.fuzz.targets import TARGETS
from tests.resilience.attack.attack import Attack, Outcome, Setup
from tests.resilience.attack.ground import Ground

FUZZED: Final = 400
COMMENT: Final = b"\xff\x64\0\x02"
PROFILES: Final = ((60, 12 << 20), (200, 1 << 20))
"""How many, and how many bytes each."""
GIANT: Final = 16384
AT_ONCE: Final = 4
SLOWEST: Final = 7.0
"""Seconds that an answer about a file of a few kilobytes may take with the machine to itself, and four at once here."""
INFO: Final = "info.json"
SMALL: Final = "full/100,/0/default.jpg"
TILE: Final = "0,0,512,512/max/0/default.jpg"


def asked(ground: Ground, names: Sequence[str], rests: Sequence[str], at_once: int = AT_ONCE) -> Outcome:
    """Ask for files in all ways; anything is an answer but a lost worker, or none."""
    before, faults = {*ground.workers}, []
    targets = [f"/iiif/3/{name}/{rest}" for name in names for rest in rests]
    with ThreadPoolExecutor(at_once) as clients:
        replies = [*clients.map(lambda target: ground.ask(target, patience=90), targets)]
    for target, reply in zip(targets, replies, strict=True):
        if not reply.status:
            faults.append(f"{target}: no answer")
    gone = before - {*ground.workers}
    if gone:
        faults.append(f"{len(gone)} workers died")
    seen: dict[int, int] = {}
    for reply in replies:
        seen[reply.status] = seen.get(reply.status, 0) + 1
    slowest = max(reply.seconds for reply in replies)
    words = ", ".join(f"{count} x {status}" for status, count in sorted(seen.items()))
    return Outcome(len(targets), faults[:5], f"{words}; the slowest after {slowest:.1f} s")


def written(ground: Ground, files: Mapping[str, bytes]) -> list[str]:
    """Put files into the root."""
    for name, content in files.items():
        (ground.images / name).write_bytes(content)
    return [*files]


def _stream(size: tuple[int, int] = (100, 70), *options: str) -> bytes:
    return picture(size, "-n", "3", *options)


def _before_tiles(stream: bytes, more: bytes) -> bytes:
    at = stream.index(b"\xff\x90\0\x0a")
    return stream[:at] + more + stream[at:]


def fuzzed(ground: Ground) -> Outcome:
    """Put 400 changed files of four kinds into the root, and ask for each, four at once."""
    draw, files = random.Random(3), dict[str, bytes]()  # noqa: S311  # the same every time
    slide = (ground.images / "slide.svs").read_bytes()[:60_000]
    for number in range(FUZZED):
        kind = ("jp2", "htj2k", "jp2", "svs")[number % 4]
        if kind == "svs":
            files[f"f{number}.svs"] = scattered(draw, [slide])
        else:
            files[f"f{number}.{'jph' if kind == 'htj2k' else 'jp2'}"] = changed(
                draw, TARGETS[kind], TARGETS[kind].corpus()
            )
    return asked(ground, written(ground, files), (INFO, SMALL))


def header_bombs(ground: Ground) -> Outcome:
    """Put 8 MB and 31 MB of empty comments into main headers, and many boxes, tile-parts and TIFF entries."""
    stream = _stream()
    sound = jp2(stream, ihdr(3, (100, 70)), colr(16))
    start = sound.index(b"jp2h") - 4
    entries = struct.pack("<HHII", 258, 3, 1, 8) * 65_000
    return asked(
        ground,
        written(
            ground,
            {
                "comments8.jp2": jp2(_before_tiles(stream, COMMENT * (2 << 20)), ihdr(3, (100, 70)), colr(16)),
                "comments31.jp2": jp2(_before_tiles(stream, COMMENT * (7_750_000)), ihdr(3, (100, 70)), colr(16)),
                "comments8.j2k": _before_tiles(stream, COMMENT * (2 << 20)),
                "boxes.jp2": sound[:start] + box(b"xml ", b"") * 1_000_000 + sound[start:],
                "headers.jp2": jp2(stream, ihdr(3, (100, 70)), colr(16), *[colr(16)] * 300_000),
                "parts.j2k": stream[: stream.index(b"\xff\x90\0\x0a")]
                + b"".join(struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14, i & 255, 0, 0xFF93) for i in range(500_000)),
                "entries.svs": struct.pack("<4sIH", b"II*\0", 8, 65_000) + entries + bytes(4),
                "chain.svs": b"II*\0\x08\0\0\0"
                + b"".join(struct.pack("<HHHIII", 1, 258, 3, 1, 8, 8 + 18 * (i + 1)) for i in range(100_000)),
            },
        ),
        (INFO, SMALL),
    )


def profiles(ground: Ground) -> Outcome:
    """Ask for info and a tile of 60 images with profiles of 12 MB, and of 200 of 1 MB, no two of them alike."""
    stream, names = _stream((60, 40)), []
    for number, size in enumerate(size for count, size in PROFILES for _ in range(count)):
        names.append(f"profile{number}.jp2")
        colour = 8 + 3 + size
        header = ihdr(3, (60, 40))
        with (ground.images / names[-1]).open("wb") as file:
            file.write(SIGNATURE + ftyp() + struct.pack(">I4s", 8 + len(header) + colour, b"jp2h") + header)
            file.write(struct.pack(">I4s3B", colour, b"colr", 2, 0, 0))
            file.write(struct.pack(">I", size) + bytes(12) + b"RGB XYZ " + struct.pack(">I", number))
            file.seek(size - 28, 1)  # a hole
            file.write(box(b"jp2c", stream))
    return asked(ground, names, (INFO, SMALL))


def giant_tile(path: Path, side: int = GIANT) -> None:
    """Write a TIFF of one deflated tile of one colour: a few hundred kilobytes that take 800 MB."""
    packer, row = zlib.compressobj(9), bytes(side * 3)
    packed = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    entries = (
        *((256, 4, 1, side), (257, 4, 1, side), (258, 3, 3, 8 + 2 + 12 * 11 + 4), (259, 3, 1, 8), (262, 3, 1, 2)),
        *((277, 3, 1, 3), (284, 3, 1, 1), (322, 4, 1, side), (323, 4, 1, side)),
        *((324, 4, 1, 8 + 2 + 12 * 11 + 4 + 6), (325, 4, 1, len(packed))),
    )
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<3H", 8, 8, 8) + packed)


def giant_tiles(ground: Ground) -> Outcome:
    """Ask for small windows of TIFFs whose only tile has 16,384 pixels a side."""
    names = [f"giant{number}.svs" for number in range(3)]
    for name in names:
        giant_tile(ground.images / name)
    return asked(ground, names, (INFO, "0,0,64,64/max/0/default.jpg", SMALL), 3)


def _patched(stream: bytes, marker: bytes, at: int, data: bytes) -> bytes:
    place = stream.index(marker) + at
    return stream[:place] + data + stream[place + len(data) :]


def _many_components() -> bytes:
    """A header of 16,384 components (ITU-T T.800 table A.9), with the tile-part of one."""
    stream = picture((32, 32), "-n", "1", steps=((1, 1),))
    size = stream.index(b"\xff\x51")
    stop = size + 2 + int.from_bytes(stream[size + 2 : size + 4])
    fields = stream[size + 4 : size + 38] + struct.pack(">H", 16384) + bytes([7, 1, 1]) * 16384
    return stream[:size] + b"\xff\x51" + struct.pack(">H", 2 + len(fields)) + fields + stream[stop:]


def _precincts_of_one(stream: bytes) -> bytes:
    """Claim precincts of one sample at each resolution (T.800 table A.21)."""
    style = stream.index(b"\xff\x52")
    stop = style + 2 + int.from_bytes(stream[style + 2 : style + 4])
    return stream[: style + 14] + bytes(stop - style - 14) + stream[stop:]


def nasty(ground: Ground) -> Outcome:
    """Ask for files that are small and claim much: small blocks, components, layers, precincts, sizes, tiles."""
    plain, large = _stream(), struct.pack(">IIII", 30_000, 30_000, 0, 0)
    one = picture((64, 64), "-n", "1", steps=((1, 1),))
    makers: Mapping[str, Callable[[], bytes]] = {
        "blocks.j2k": lambda: picture((700, 600), "-n", "5", "-b", "4,4"),
        "precincts.j2k": lambda: _precincts_of_one(picture((300, 200), "-n", "2", "-c", "[64,64],[64,64]")),
        "components.j2k": _many_components,
        "layers.j2k": lambda: _patched(plain, b"\xff\x52", 6, b"\xff\xff"),
        "claims.j2k": lambda: _patched(_patched(one, b"\xff\x51", 6, large), b"\xff\x51", 22, large),
        "tiles.j2k": lambda: _patched(
            _patched(one, b"\xff\x51", 6, struct.pack(">II", 4000, 4000)), b"\xff\x51", 22, struct.pack(">II", 16, 16)
        ),
        "levels.j2k": lambda: picture((800, 800), "-n", "5", "-t", "32,32", "-r", "400"),
        "deep.j2k": lambda: picture((1500, 1500), "-n", "1", "-r", "1000"),
    }
    names = written(ground, {name: make() for name, make in makers.items()})
    rests = (INFO, SMALL, TILE, "full/max/0/default.jpg", "full/max/0/default.png")
    return asked(ground, names, rests)


def _twins() -> list[bytes]:
    """Return two files of one form and one length, so that nothing but pixels tells them apart."""
    size, steps = (1200, 900), ((1, 1),) * 3
    made = [
        jp2(compress(planes(size, steps, seed=seed), size, steps, "-t", "256,256", "-r", "8"), ihdr(3, size), colr(16))
        for seed in (1, 2)
    ]
    length = max(map(len, made)) + 8
    return [content + box(b"free", bytes(length - len(content) - 8)) for content in made]


def replaced(ground: Ground) -> Outcome:
    """Overwrite a file in place, and rename others over it, while it is asked for; each whole answer is of one."""
    one, other = _twins()
    path, target = ground.images / "changing.jp2", "/iiif/3/changing.jp2/full/max/0/default.png"
    truths = set[bytes]()
    for content in (one, other):
        path.write_bytes(content)
        reply = ground.ask(target)
        truths.add(reply.body if reply.kind == "image/png" else b"")
    if b"" in truths or len(truths) < 2:
        return Outcome(0, ["there are no two pictures to tell apart"])
    draw = random.Random(1)  # noqa: S311  # the same every time
    over, faults, tries, whole = threading.Event(), [], 0, 0

    def overwrite() -> None:
        turn = 0
        while not over.wait(draw.uniform(0.02, 0.25)):
            turn += 1
            content = (one, other)[turn % 2]
            if turn % 3:
                # In one go: between two writes the file is a mixture that is at rest.
                file = os.open(path, os.O_WRONLY)
                os.pwrite(file, content, 0)
                os.close(file)
            else:
                fresh = path.with_suffix(".fresh")
                fresh.write_bytes(content)
                fresh.replace(path)

    writing = threading.Thread(target=overwrite)
    writing.start()
    for _ in range(40):
        tries += 1
        reply = ground.ask(target)
        if reply.status == 200 and reply.kind == "image/png":
            whole += 1
            if reply.body not in truths:
                faults.append("a whole answer with pixels of two versions")
    over.set()
    writing.join()
    text = f"{whole} whole answers, each of one version"
    return Outcome(tries, [f"{len(faults)} of {tries}: {faults[0]}"] if faults else [], text)


ROOM: Final = Setup(memory=300_000_000)

ATTACKS: Final = (
    Attack("400 fuzzed files, four at once", "files", "refused or handed over, no worker lost", fuzzed),
    Attack(
        "header bombs: comments, boxes, tile-parts, entries", "files", "refused or handed over, in budget", header_bombs
    ),
    Attack("60 profiles of 12 MB, 200 of 1 MB", "files", "in budget", profiles),
    Attack("TIFF tiles of 16,384 pixels a side", "files", "refused or in budget", giant_tiles),
    Attack("files that claim much: blocks, components, layers", "files", "refused or in budget", nasty, ROOM),
    Attack("a file replaced and overwritten while it is read", "files", "whole answers are of one version", replaced),
)
