"""Plays all workloads: for each picture the peers are started anew, and take turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.peers.measure import measured, spent
from tests.benchmarks.peers.peer import Peer, Server
from tests.benchmarks.peers.plan import BARE, NGINX, PEERS, Part, rounds_of
from tests.benchmarks.peers.results import Case, Round
from tests.benchmarks.peers.same import check
from tests.benchmarks.peers.single_tiles import WARM
from tests.benchmarks.peers.workload import Workload
from tests.benchmarks.rounds import turns

BEFORE: Final = 1000
"""The turn of tiles that do not count: after them each server knows the picture."""
CALM, WATCHED, PATIENCE = 0.05, 1.0, 60.0
"""Part of a processor that a server at rest takes at most; seconds for that, and seconds to wait for it."""
Say = Callable[[str], None]


def present() -> Sequence[Peer]:
    """Return the peers that can take part."""
    return [peer for peer in PEERS if not peer.missing]


def cases(part: Part, rounds: int, say: Say, advance: Callable[[], None]) -> Iterator[Case]:
    """Play what is done with a picture; a peer that fails in a workload is left out of it, and reported."""
    with tempfile.TemporaryDirectory(prefix="peers-") as home, ExitStack() as stack:
        servers = started(part, Path(home), stack)
        check({name: server for name, server in servers.items() if name != NGINX}, part.picture)
        for name, server in servers.items():
            if name not in {BARE, NGINX}:
                WARM.play(server, part.picture, BEFORE)
                rest(server)
        for workload in part.workloads:
            taking = {name: servers[name] for name in part.peers(workload) if name in servers}
            for peer, played in _played(part, workload, taking, rounds_of(workload, rounds), say, advance).items():
                yield Case(part.picture.label, workload.name, peer, played)


def rest(server: Server) -> None:
    """Wait until a server does nothing: some do later what is not urgent, and others should not pay for it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before, _ = spent(server)
        time.sleep(WATCHED)
        after, _ = spent(server)
        if after - before < CALM * WATCHED:
            return


def started(part: Part, home: Path, stack: ExitStack) -> dict[str, Server]:
    """Start all peers that take part in anything."""
    wanted = {name for workload in part.workloads for name in part.peers(workload)}
    servers = {}
    for peer in present():
        if peer.name in wanted:
            folder = home / peer.name.replace(" ", "-").replace(",", "")
            folder.mkdir()
            servers[peer.name] = stack.enter_context(peer.serve(folder, files.FILES))
    return servers


def _played(
    part: Part, workload: Workload, servers: Mapping[str, Server], rounds: int, say: Say, advance: Callable[[], None]
) -> Mapping[str, Sequence[Round]]:
    found: dict[str, list[Round]] = {name: [] for name in servers}
    for turn, name in turns([*servers], rounds):
        if name in found:
            try:
                played = measured(workload, servers[name], part.picture, turn)
            except (RuntimeError, OSError) as error:
                del found[name]
                say(f"{part.picture.label}, {workload.name}: {name} is left out: {error}")
            else:
                found[name].append(played)
                say(
                    f"{part.picture.label}, {workload.name}, {name}: {played.rate:.2f} a second, "
                    f"{1000 * played.work / len(played.lasts):.0f} ms of processor, {played.memory / 1e6:.0f} MB"
                )
        advance()
    return found
