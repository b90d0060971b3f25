"""`make attack` itself: each row can fail, the table has all attacks, and a site is really attacked."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.resilience.attack import report
from tests.resilience.attack.attack import LATEST, Attack, Outcome, Row, Watched
from tests.resilience.attack.ground import TILE, Ground
from tests.resilience.attack.register import ATTACKS

HELD = Row(
    Attack("a name", "files", "nothing", lambda _: Outcome(1)),
    Outcome(1, (), "nothing happened"),
    Watched(asked=10, lost=0, wrong=0, handed_over=2, latest=0.1),
    memory=100,
    limit=115,
)


@pytest.mark.parametrize(
    "row, fault",
    [
        (replace(HELD, outcome=Outcome(1, ["it shows the secret"])), "it shows the secret"),
        (replace(HELD, watched=replace(HELD.watched, lost=1)), "1 of 10 tiles of another image lost"),
        (replace(HELD, watched=replace(HELD.watched, wrong=2)), "2 of 10 tiles of another image wrong"),
        (replace(HELD, watched=replace(HELD.watched, latest=LATEST + 1)), "a tile of another image after 1.5 s"),
        (replace(HELD, watched=replace(HELD.watched, asked=0)), "nobody watched"),
        (replace(HELD, memory=116), "MB allowed"),
        (replace(HELD, leaks=["a text names a path"]), "a text names a path"),
    ],
)
def test_each_row_can_fail(row: Row, fault: str) -> None:
    """A fault of the attack itself, of the watcher or of memory is a row that was not held, and the table says so."""
    assert HELD.held
    assert not row.held
    assert fault in "".join(row.faults)
    assert "**broke**" in report.table([row])
    assert "held: nothing happened" in report.table([HELD])


def test_the_page_has_a_row_for_each_attack(tmp_path: Path) -> None:
    """The table lists every attack once, in order, and is written between its marks."""
    names = [attack.name for attack in ATTACKS]
    assert len({*names}) == len(names)
    page = tmp_path / "attacks.md"
    page.write_text("before\n<!-- attacks -->\nold\n<!-- /attacks -->\nafter\n")
    report.write([replace(HELD, attack=attack) for attack in ATTACKS], page)
    lines = page.read_text().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("|")][2:] == names
    assert (lines[0], lines[-1], "old" in lines) == ("before", "after", False)
    known = [line.split(" | ")[0].removeprefix("| ") for line in report.PAGE.read_text().splitlines()]
    assert {*names} <= {*known}, "run `make attack`"


def test_a_site_is_attacked(tmp_path: Path) -> None:
    """A real site holds against what does nothing; what stops it, reveals a path or gives nothing back is noticed."""

    def stop(ground: Ground) -> Outcome:
        for worker in ground.workers:
            os.kill(worker, signal.SIGSTOP)
        ground.texts.append(f"no such file: {ground.home}/secret")
        return Outcome(1)

    def ask(ground: Ground) -> Outcome:
        return Outcome(1, [] if ground.ask(TILE).status == 200 else ["no tile"])

    with Ground(tmp_path, HELD.attack.setup) as ground:
        calm = ground.attacked(replace(HELD.attack, run=ask))
        assert (calm.outcome.faults, calm.watched.lost, calm.watched.wrong, calm.leaks) == ([], 0, 0, [])
        assert calm.watched.asked
        assert 0 < calm.memory < calm.limit
        ground.rest = 1.0
        hurt = ground.attacked(replace(HELD.attack, run=stop))
        for worker in ground.workers:
            os.kill(worker, signal.SIGCONT)
        assert hurt.leaks
        assert "the sidecar does not answer" in hurt.outcome.faults
