"""Memory stays flat under load; the long run is `make soak`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.resilience.load_clients import GOOD
from tests.resilience.soak import draw, soak, trend

SECONDS = 20
SHORT_GROWTH = 0.15
"""In so short a time memory is still finding its size."""


def test_memory_is_flat(tmp_path: Path) -> None:
    """After warm-up the processes' memory does not grow under requests for tiles and whole images; it is drawn."""
    samples, tally = soak(SECONDS, tmp_path)
    assert trend(samples).flat(SHORT_GROWTH), str(trend(samples))
    assert {*tally.verdicts} <= {*GOOD}
    assert sum(tally.verdicts.values()) > 50
    draw(samples, tmp_path / "plot" / "soak.png")
    assert (tmp_path / "plot" / "soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("leak,flat", [(0, True), (300, False)])
def test_a_leak_is_seen_through_noise(leak: int, *, flat: bool) -> None:
    """Peaks of half as much again do not hide a leak of 300 bytes a millisecond, nor look like one."""
    noise = np.random.default_rng(0)
    times = np.arange(0, 600, 0.2)
    sizes = 200e6 + 100e6 * (noise.random(len(times)) < 0.1) + noise.normal(0, 5e6, len(times)) + leak * 1000 * times
    assert trend([*zip(times.tolist(), sizes.astype(int).tolist(), strict=True)]).flat() == flat
