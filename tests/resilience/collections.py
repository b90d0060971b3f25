"""Collections of JPEG 2000 files: what plain OpenJPEG decodes is answered with those pixels or handed over.

`python -m tests.resilience.collections FOLDER...` decodes each file by opj_decompress and by the plugin, each in a
child process of limited time and memory, and prints a table for the documentation. Collections are fetched for a run,
and never kept here.
"""

from __future__ import annotations

import multiprocessing
import resource
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import typer
from PIL import Image
from sidecar_jp2.decoder import Jp2Decoder
from sidecar_jp2.extract.extractor import IndexedExtractor
from sidecar_jp2.index.index_cache import IndexCache
from sidecar_jp2.openjpeg.codec import OpenJpeg
from sidecar_jp2.openjpeg.library import bind
from sidecar_jp2.reader import Jp2Reader

from sidecar.errors import HandOver, Refusal
from sidecar.plugin import Pixels, Rect, Unsupported, run_inline
from sidecar.plugin.color import to_srgb
from sidecar.testing.fakes import MemoryBlob, on_disk
from sidecar.testing.reading import read

SUFFIXES: Final = frozenset({".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jph", ".jhc"})
SECONDS: Final = 60
BYTES: Final = 4 << 30
SIDE: Final = 70
ROUNDING: Final = 1
"""Irreversible wavelets and profiles are computed in floating point, not by the same instructions everywhere."""
DEEP_PROFILE: Final = 3
"""opj_decompress converts colours of more than 8 bits by their profile before it rounds them, the sidecar after."""
BYTE: Final = 8
"""Bits."""
SIZ: Final = b"\xff\x4f\xff\x51"
CAP: Final = b"\xff\x50"
"""SOC and SIZ, and what encoders of HTJ2K write after it (ITU-T T.814 A.2)."""

Verdict = Literal["equal", "handed over", "windows handed over", "refused", "wrong", "stuck"]


@dataclass(frozen=True, slots=True)
class Part:
    """A region of a level."""

    level: int
    region: Rect


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file."""

    path: Path
    plain: str
    """Empty if opj_decompress decodes it, else what it complains of."""
    verdict: Verdict
    reason: str = ""
    high_throughput: bool = False


def plain(path: Path, *options: str, shallow: bool = False) -> Pixels | str:
    """Return what opj_decompress makes of a file, 8 bits a sample, shape (rows, columns, 1 or 3), or its error."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made.pnm" if shallow else "made.bmp")
        command = ["opj_decompress", "-i", str(path), "-o", str(made), "-upsample", *options]
        try:
            run = subprocess.run(  # fixed words and a path
                command, capture_output=True, timeout=SECONDS, preexec_fn=_limit_memory, check=False
            )
        except subprocess.TimeoutExpired:
            return "time is over"
        text = (run.stderr + run.stdout).decode("utf-8", "replace")
        if "Unsupported precision" in text and not shallow:
            return plain(path, *options, shallow=True)
        if run.returncode or not made.exists():
            errors = [line for line in text.splitlines() if "ERROR" in line]
            return (errors or [f"ends with status {run.returncode}"])[0]
        return _opened(made)


def _opened(made: Path) -> Pixels:
    content = made.read_bytes()
    if content.startswith(b"P7"):
        return _arbitrary_map(content)
    with Image.open(made) as image:
        if image.mode == "P":
            return np.atleast_3d(np.asarray(image.convert("L")))
        pixels = np.atleast_3d(np.asarray(image))
    return pixels.astype(np.uint8)[..., : 3 if pixels.shape[2] > 2 else 1]  # colours, without opacity


def _arbitrary_map(content: bytes) -> Pixels:
    """Return the colours of a Portable Arbitrary Map of one byte each, which Pillow does not read."""
    head, _, body = content.partition(b"ENDHDR\n")
    width, height, depth, most = (
        int(head.split(name)[1].split()[0]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
    )
    values = np.frombuffer(body, np.uint8).reshape(height, width, depth)[..., : 3 if depth > 2 else 1]
    pixels: Pixels = np.floor(values * (255 / most) + 0.5).astype(np.uint8)
    return pixels


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def parts(reader: Jp2Reader) -> Iterator[Part]:
    """Yield all of the finest, a middle and the coarsest level, and windows in the corners and the middle of each."""
    levels = reader.info.levels
    for level in sorted({0, len(levels) // 2, len(levels) - 1}):
        size = levels[level].size
        yield Part(level, Rect(0, 0, size.width, size.height))
        width, height = min(SIDE, size.width), min(SIDE, size.height)
        for x, y in {
            (0, 0),
            (size.width - width, size.height - height),
            ((size.width - width) // 2, (size.height - height) // 2),
        }:
            yield Part(level, Rect(x, y, width, height))


def shown(path: Path) -> Iterator[tuple[Part, Pixels | HandOver, int]]:
    """Yield each part as the plugin shows it or hands it over, and by how much its samples may differ.

    Parts are read from the local file and by ranges in turn.

    Raises what opening the file raises.
    """
    extractors = partial(IndexedExtractor, IndexCache(run_inline, 1 << 24))
    decoder = Jp2Decoder(OpenJpeg(bind()), alpha=False, extractors=extractors)
    blobs = on_disk(path), MemoryBlob(path.name, path.read_bytes())
    readers = [decoder.open(blob) for blob in blobs]
    icc, model = readers[0].info.icc, readers[0]._image.color
    tolerance = DEEP_PROFILE if icc and any(channel.precision > BYTE for channel in model.colors) else ROUNDING
    for index, part in enumerate(parts(readers[0])):
        try:
            pixels = read(readers[index % 2], blobs[index % 2], part.level, part.region)
        except HandOver as error:
            yield part, error, tolerance
            continue
        yield part, _converted(pixels, icc) if icc else pixels, tolerance


def _converted(pixels: Pixels, icc: bytes) -> Pixels:
    try:
        return np.asarray(to_srgb(Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels), icc))
    except Unsupported:
        return pixels  # opj_decompress leaves them as they are, too


def judge(path: Path) -> Outcome:
    """Compare one file. Called in a process of its own."""
    whole = plain(path)
    complaint = whole if isinstance(whole, str) else ""
    outcome = partial(Outcome, path, complaint, high_throughput=_is_high_throughput(path.read_bytes()))
    wholes: dict[int, Pixels | str] = {0: whole}
    failed = ""
    try:
        for part, pixels, tolerance in shown(path):
            if isinstance(pixels, HandOver):
                failed = failed or f"{pixels.reason}: {pixels}"
                continue
            if part.level not in wholes:
                wholes[part.level] = plain(path, "-r", str(part.level))
            expected = wholes[part.level]
            difference = "" if isinstance(expected, str) else _difference(pixels, expected, part.region, tolerance)
            if difference:
                return outcome("wrong", f"level {part.level}, {part.region}: {difference}")
    except Refusal as error:
        return outcome("refused", str(error))
    except HandOver as error:
        return outcome("handed over", f"{error.reason}: {error}")
    return outcome("windows handed over", failed) if failed else outcome("equal")


def _is_high_throughput(content: bytes) -> bool:
    at = content.find(SIZ) + len(SIZ)
    after = at + int.from_bytes(content[at : at + 2])
    return content[after : after + len(CAP)] == CAP


def _difference(pixels: Pixels, whole: Pixels, region: Rect, tolerance: int) -> str:
    expected = whole[region.y : region.y + region.height, region.x : region.x + region.width]
    if pixels.shape[:2] != expected.shape[:2]:
        return f"{pixels.shape} for {whole.shape}"
    most = int(np.abs(pixels.astype(int) - expected).max(initial=0))
    return f"by up to {most}" if most > tolerance else ""


def _run(path: Path, answer: Connection) -> None:
    _limit_memory()
    answer.send(judge(path))


def judged(path: Path) -> Outcome:
    """Compare one file in a child process; one that crashes, or takes too long, is stuck."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(path, sender))
    child.start()
    sender.close()
    try:
        if receiver.poll(SECONDS * 4):
            found: Outcome = receiver.recv()
            return found
        return Outcome(path, "", "stuck", "time is over")
    except EOFError:
        child.join()
        return Outcome(path, "", "stuck", f"the process ends with status {child.exitcode}")
    finally:
        child.kill()
        child.join()


def files(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the JPEG 2000 files below some folders."""
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


COLUMNS: Final[tuple[Verdict, ...]] = ("equal", "windows handed over", "handed over", "refused", "wrong", "stuck")


def table(outcomes: dict[str, list[Outcome]]) -> Iterator[str]:
    """Yield the lines of the table: a row for each collection, HTJ2K apart, files that OpenJPEG decodes and others."""
    yield "| collection | files | OpenJPEG | " + " | ".join(COLUMNS) + " |"
    yield "| --- " * (3 + len(COLUMNS)) + "|"
    for name, found in outcomes.items():
        for fast, decodes in ((False, True), (False, False), (True, True), (True, False)):
            row = [each for each in found if (each.high_throughput, not each.plain) == (fast, decodes)]
            counts = Counter(each.verdict for each in row)
            if row:
                title = f"{name}, HTJ2K" if fast else name
                cells = (title, len(row), "decodes" if decodes else "fails", *(counts[each] for each in COLUMNS))
                yield f"| {' | '.join(map(str, cells))} |"


def main(
    folders: Annotated[list[Path], typer.Argument(help="Each is a collection, named by its folder.")],
    *,
    every: Annotated[bool, typer.Option(help="Print each file that is not equal, too.")] = True,
) -> None:
    """Compare all files of some folders, and print the table; ends with status 1 if the law is broken."""
    outcomes: dict[str, list[Outcome]] = {}
    for folder in folders:
        found = outcomes.setdefault(folder.name, [])
        for path in files([folder]):
            found.append(judged(path))
            if every and found[-1].verdict != "equal":
                last = found[-1]
                typer.echo(f"{path}: {last.verdict} ({last.reason}){'; plain: ' + last.plain if last.plain else ''}")
    for line in table(outcomes):
        typer.echo(line)
    everything = [each for found in outcomes.values() for each in found if not each.plain]
    raise typer.Exit(any(each.verdict in ("refused", "wrong", "stuck") for each in everything))


if __name__ == "__main__":
    typer.run(main)
