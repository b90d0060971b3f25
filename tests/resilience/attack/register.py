"""All attacks, in the order in which they run: those of one setup after one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.resilience.attack import bombs, connections, paths, processes, requests, settings, trust
from tests.resilience.attack.attack import Attack

ATTACKS: Final[Sequence[Attack]] = (
    *paths.ATTACKS,
    *requests.ATTACKS,
    *connections.ATTACKS,
    *bombs.ATTACKS,
    *processes.ATTACKS,
    *settings.ATTACKS,
    *trust.ATTACKS,
)
