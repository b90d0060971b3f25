"""Inputs that strangers choose, replayed and changed: nothing but refusals, in bounded time and memory."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import sidecar_jp2
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import SidecarError
from tests.fuzz import reach, structures
from tests.fuzz.child import GOOD, Child
from tests.fuzz.decodes import DECODES
from tests.fuzz.mutation import changed
from tests.fuzz.target import SEED, Target
from tests.fuzz.targets import TARGETS
from tests.resilience.corruption import mutated, pieces

SECONDS = 20
"""Of this process's own time, for one small file: two hundred times what the slowest takes."""
MOST_MEMORY = 48 * 2**20
MOST_ROUNDS = 2000
CHANGES = 400
"""Of the corpus of each target."""
DECODED = 150

INPUTS = [(target, path) for target in TARGETS.values() for path in sorted(target.folder.glob("*"))]


@contextmanager
def bounded() -> Iterator[None]:
    """Raise if a call takes too long, other processes aside; fail if it has taken too much memory."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize(
    "target, path", [pytest.param(target, path, id=f"{target.name}-{path.name}") for target, path in INPUTS]
)
def test_kept_inputs(target: Target, path: Path) -> None:
    """Each input that once reached something new, or surprised, is accepted or refused as it should be."""
    with bounded():
        target.endures(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_seeds_are_sound(target: Target) -> None:
    """There are inputs that are accepted to begin with; those with structure are parted without a byte lost."""
    seeds = [path.read_bytes() for path in target.folder.glob(f"{SEED}*")]
    assert any(target.endures(content) for content in seeds)
    for content in seeds if target.name == "jp2" else ():
        target.exercise(content)
        assert b"".join(pieces(content)) == content
        assert len(pieces(content)) > 5


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_changed_inputs(target: Target) -> None:
    """Inputs out of the corpus, each with a few changes and the same every time, surprise nobody."""
    draw, known = random.Random(1), target.corpus()  # noqa: S311  # the same every time
    for _ in range(CHANGES):
        with bounded():
            target.endures(changed(draw, target, known))


@settings(max_examples=300)
@given(st.data())
def test_files_changed_along_their_structure(data: st.DataObject) -> None:
    """Boxes, segments and tile-parts changed, dropped, repeated, exchanged and mixed take few reads."""
    known = TARGETS["jp2"].corpus()
    content = mutated(lambda below: data.draw(st.integers(0, below - 1)), known)
    with bounded():
        try:
            blob = structures.open_windows(content)
        except SidecarError:
            return
        assert len(blob.asked) < MOST_ROUNDS


@pytest.mark.parametrize("name", DECODES)
def test_native_decodes(name: str) -> None:
    """No kept input crashes or hangs a native library through its plugin, and neither do changes of sound ones."""
    decode, draw = DECODES[name], random.Random(1)  # noqa: S311  # the same every time
    known = decode.sound()
    inputs = [*known, *decode.corpus(), *(decode.change(draw, known) for _ in range(DECODED))]
    with Child(decode.run) as child:
        outcomes = [child.outcome(content) for content in inputs]
    assert {outcome.verdict for outcome in outcomes[: len(known)]} == {"decoded"}
    assert [outcome for outcome in outcomes if outcome.verdict not in GOOD] == []


def test_the_child_reports_what_ends_it() -> None:
    """A crash, a hang, an exception and too much memory are each told apart, and the next input is run all the same."""

    def run(content: bytes) -> None:
        if content == b"crash":
            signal.raise_signal(signal.SIGSEGV)
        if content == b"hang":
            signal.pause()
        if content == b"memory":
            bytearray(1 << 40)
        if content == b"refuse":
            raise SidecarError("no")
        assert content == b"fine"

    with Child(run, seconds=6) as child:
        verdicts = {
            name: child.outcome(name.encode())
            for name in ("fine", "crash", "hang", "memory", "refuse", "other", "fine")
        }
    assert {name: outcome.verdict for name, outcome in verdicts.items()} == {
        "fine": "decoded",
        "crash": "crash",
        "hang": "hang",
        "memory": "surprise",
        "refuse": "refused",
        "other": "surprise",
    }
    assert verdicts["crash"].text == "SIGSEGV"


def test_every_parser_of_jpeg_2000_is_reached() -> None:
    """Each module that reads what stands in a file is a target's, with inputs that reach its functions."""
    reached = {path.name for target in structures.TARGETS for path in reach.modules(target)}
    home = Path(str(sidecar_jp2.__file__)).parent
    parsers = {path.name for folder in ("format", "index") for path in (home / folder).glob("*.py")}
    assert parsers - {"__init__.py", "broken.py", "kept_images.py"} <= reached


def test_the_engine_runs(tmp_path: Path) -> None:
    """Atheris finds and keeps an input that reaches more than the corpus, in a bounded number of runs."""
    pytest.importorskip("atheris", reason="there are wheels for Linux on x86-64 only")
    cases, reached = tmp_path / "cases", tmp_path / "reached"
    reached.mkdir()
    command = [sys.executable, "-m", "tests.fuzz.engine", "identifier", str(cases), "-runs=2000", "-seed=1"]
    done = subprocess.run([*command, str(reached)], capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert [*reached.iterdir()]
    assert not cases.exists()
