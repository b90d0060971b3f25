"""What an attack is: a function with a name, a kind, and the outcome that is expected of it; and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from tests.resilience.attack.ground import Ground

Kind = Literal["paths", "requests", "connections", "files", "places", "processes", "settings", "trust"]

LATEST: Final = 0.5
"""Seconds within which a tile of another image has to arrive, whatever happens."""
SURPLUS: Final = 1.15
"""Of the budget: what workers may take."""
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Setup:
    """How the site under attack is set up. Attacks of the same setup share one."""

    toml: str = ""
    """More settings of the sidecar, those of the core first."""
    edits: tuple[tuple[str, str, str], ...] = ()
    """(file, old text, new text) in the site's nginx files, as an operator would."""
    server: str = ""
    """More lines of nginx's server."""
    trouble: bool = False
    """Whether the plugin is installed whose images crash or stall native code."""
    memory: int = 210 * MB
    """Bytes that all responses of a worker may take at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack has seen. Whether other clients noticed is not its business."""

    tries: int
    faults: Sequence[str] = ()
    """What should not have happened, each in a line."""
    text: str = ""
    """What happened, in a few words."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack or fault, bounded in time and count, on loopback only."""

    name: str
    kind: Kind
    expected: str
    run: Callable[[Ground], Outcome] = field(repr=False)
    setup: Setup = Setup()


@dataclass(frozen=True, slots=True)
class Watched:
    """What somebody saw meanwhile who asked for a tile of another image, through nginx, all the time."""

    asked: int
    lost: int
    """No answer, an error, or one that broke off."""
    wrong: int
    """Whole, but other bytes than while nothing happened."""
    handed_over: int
    """Answered by Cantaloupe."""
    latest: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """An attack, its outcome, and what it cost others."""

    attack: Attack
    outcome: Outcome
    watched: Watched
    memory: int
    """Bytes of all workers at the peak, proportional (PSS), sampled."""
    limit: int
    """Bytes that they may have."""
    seconds: float = 0.0
    leaks: Sequence[str] = ()
    """Texts to clients that named a path or an inner host."""

    @property
    def faults(self) -> list[str]:
        """Return all that should not be."""
        watched = self.watched
        costs: Mapping[str, bool] = {
            f"{watched.lost} of {watched.asked} tiles of another image lost": watched.lost > 0,
            f"{watched.wrong} of {watched.asked} tiles of another image wrong": watched.wrong > 0,
            f"a tile of another image after {watched.latest:.1f} s": watched.latest > LATEST,
            f"{self.memory / MB:.0f} MB of memory, {self.limit / MB:.0f} MB allowed": self.memory > self.limit,
            "nobody watched": not watched.asked,
        }
        return [*self.outcome.faults, *(text for text, found in costs.items() if found), *self.leaks]

    @property
    def held(self) -> bool:
        """Whether nothing broke."""
        return not self.faults
