"""Comparing calls on a machine that is never quiet: each in turn, round by round, and the median of what rounds say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import TypeAlias

Times: TypeAlias = Mapping[str, Sequence[float]]
"""Seconds of each call in each round."""


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Each name in each round, with the number of the round.

    Every other round goes backwards, so that nobody always comes after the same one.
    """
    for turn in range(rounds):
        yield from ((turn, name) for name in (names if turn % 2 else reversed(names)))


def interleaved(
    calls: Mapping[str, Callable[[int], object]], rounds: int, clock: Callable[[], float] = perf_counter
) -> Times:
    """Run all calls in turn, `rounds` times, after one round that does not count; they are told which round it is."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn, name in turns([*calls], rounds + 1):
        begin = clock()
        calls[name](turn)
        times[name].append(clock() - begin)
    return {name: taken[1:] for name, taken in times.items()}


def ratio(times: Times, of: str, *to: str, join: Callable[[Iterable[float]], float] = max) -> float:
    """The median over the rounds of how many times as long one call took as others, joined, in the same round."""
    rounds = zip(times[of], zip(*(times[name] for name in to), strict=True), strict=True)
    return median(one / join(others) for one, others in rounds)


def milliseconds(times: Times, name: str) -> float:
    """The median of a call's times."""
    return median(times[name]) * 1000
