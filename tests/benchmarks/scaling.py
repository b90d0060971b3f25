"""Scaling a tile as Cantaloupe does, beside Pillow's `resize`: `python -m tests.benchmarks.scaling`."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time

import numpy as np
from PIL import Image

from sidecar.plugin import Size
from sidecar.render.steps.resample import Resample
from sidecar.render.steps.step import Rows

TILE = 512
SOURCES = (530, 600, 700, 777, 900, 1000)
ROUNDS = 25


def medians(*actions: Callable[[], object]) -> list[float]:
    """Return the milliseconds of processor time that each action takes in the middle of several rounds, in turn."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(ROUNDS):
        for action, taken in zip(actions, times, strict=True):
            start = thread_time()
            action()
            taken.append(1000 * (thread_time() - start))
    return [sorted(taken)[ROUNDS // 2] for taken in times]


def main() -> None:
    """Print a table."""
    print("| source | Pillow, ms | Cantaloupe's arithmetic, ms | ratio |\n| --- | --- | --- | --- |")  # noqa: T201  # its purpose
    for side in SOURCES:
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        step = Resample(Size(side, side), Size(TILE, TILE), "bicubic")
        picture = Image.fromarray(pixels)
        pillow, ours = medians(
            lambda: np.asarray(picture.resize((TILE, TILE), Image.Resampling.BICUBIC)),  # noqa: B023
            lambda: step.apply(pixels, Rows(0, side), Rows(0, TILE)),  # noqa: B023
        )
        print(f"| {side} | {pillow:.1f} | {ours:.1f} | {ours / pillow:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
