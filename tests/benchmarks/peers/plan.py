"""Which workloads are played with which pictures, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks import files
from tests.benchmarks.peers.bare import Bare
from tests.benchmarks.peers.cantaloupe import Cantaloupe
from tests.benchmarks.peers.iipsrv import Iipsrv
from tests.benchmarks.peers.mixed import Mixed
from tests.benchmarks.peers.nginx_alone import NginxAlone
from tests.benchmarks.peers.ours import Ours, exact
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.peers.picture import Picture, picture
from tests.benchmarks.peers.single_tiles import ALONE, FULL, HALF, RANDOM, STORED
from tests.benchmarks.peers.slide_libraries import deepzoom, large_image
from tests.benchmarks.peers.viewing import AT_ONCE, Viewing
from tests.benchmarks.peers.whole_views import CROWD, LARGE, PREVIEWS, THUMBNAILS, WHOLE
from tests.benchmarks.peers.workload import Workload

OURS, EXACT, BARE, NGINX = "sidecar", "sidecar, loss 0", "bare script", "nginx alone"
PEERS: Final[Sequence[Peer]] = (
    Ours(),
    exact(),
    Iipsrv(),
    Cantaloupe(),
    deepzoom(),
    large_image(),
    Bare(),
    NginxAlone(),
)
VIEWING, BURSTS = Viewing("viewers-6"), Viewing("viewers-24", connections=AT_ONCE, share=0.67)
VIEWS: Final[Sequence[Workload]] = (THUMBNAILS, PREVIEWS, LARGE, WHOLE, Mixed())
USES: Final[Sequence[Workload]] = (VIEWING, BURSTS, RANDOM, *VIEWS)
SLIDE_USES: Final[Sequence[Workload]] = (VIEWING, BURSTS, FULL, HALF, *VIEWS, STORED)
GROWING: Final[Sequence[Viewing]] = tuple(Viewing(f"viewers-by-{count}", count, share=0.34) for count in (1, 2, 4, 8))
ONLY_IN: Final[Mapping[str, Sequence[str]]] = {
    EXACT: (VIEWING.name,),
    BARE: (RANDOM.name,),
    NGINX: (STORED.name,),
}
"""Peers that take part in few workloads."""
ONLY_FOR: Final[Mapping[str, Sequence[str]]] = {CROWD.name: (OURS,)}
"""Workloads in which few peers take part."""
PICTURES: Final[Mapping[str, tuple[Callable[[], object], Sequence[Workload]]]] = {
    files.SINGLE_LOSSLESS: (files.lossless, (*USES, CROWD)),
    files.TILED_LOSSLESS: (files.lossless, (*USES, CROWD, *GROWING)),
    files.SINGLE: (files.single, USES),
    files.TILED: (files.tiled, (*USES, ALONE)),
    files.SLIDE: (files.slide, SLIDE_USES),
    **{name: (files.growing, (ALONE,)) for name in files.GROWING if name != files.TILED},
}
"""What makes a picture, and what is done with it."""
LOSSLESS: Final = frozenset({files.SINGLE_LOSSLESS, files.TILED_LOSSLESS})


@dataclass(frozen=True, slots=True)
class Part:
    """A picture, and what is done with it: peers are started anew for each."""

    picture: Picture
    workloads: Sequence[Workload]

    def peers(self, workload: Workload) -> Sequence[str]:
        """Return who plays a workload, if they can at all."""
        return [
            peer.name
            for peer in PEERS
            if self.picture.kind in peer.kinds
            and workload.name in ONLY_IN.get(peer.name, [workload.name])
            and peer.name in ONLY_FOR.get(workload.name, [peer.name])
            and (peer.name != EXACT or self.picture.name in LOSSLESS)
        ]


def parts(only: str) -> Iterator[Part]:
    """Yield the parts that are chosen, with their chosen workloads; their pictures are made."""
    for name, (make, workloads) in PICTURES.items():
        taken = [each for each in workloads if chosen(only, f"{each.name} {files.LABELS[name]}")]
        if taken and (files.LARGE or name != files.GROWING[-1]):
            make()
            yield Part(picture(files.FILES / name), taken)


def chosen(only: str, name: str) -> bool:
    """Whether a name has all words of one of the alternatives, which have commas between."""
    wanted = [alternative.split() for alternative in only.split(",") if alternative.strip()]
    return not wanted or any(all(word in name for word in words) for words in wanted)


def rounds_of(workload: Workload, rounds: int) -> int:
    """Return for how many rounds a workload is played."""
    return max(1, round(rounds * workload.share))
