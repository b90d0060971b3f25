"""The example runs in the docs are what the commands print, numbers of one machine aside."""

from __future__ import annotations

import pytest

from tests.unit.docs.runs import ExampleRun, lasting, output, runs

RUNS = [*runs()]


@pytest.mark.parametrize("example", RUNS, ids=lambda example: example.command[:60])
def test_run(example: ExampleRun) -> None:
    """A command prints what the page shows, word for word."""
    assert lasting(output(example.command)) == lasting(example.shown), "run: python -m tests.unit.docs.runs"


def test_there_are_runs() -> None:
    """The page of the tools has its runs."""
    assert len(RUNS) >= 6
