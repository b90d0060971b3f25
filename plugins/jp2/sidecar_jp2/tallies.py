"""What is counted of windows, for metrics, traces and the log."""

from __future__ import annotations

from typing import Final

from sidecar.plugin import Tally
from sidecar_jp2.extraction import LeftOut

WHOLE: Final = Tally(
    "jp2_whole", "windows that were decoded out of the whole file, since it is small or has no usable index"
)
CUT: Final = Tally("jp2_cut", "windows that were cut out of a large tile")
PLANES: Final = Tally(
    "jp2_planes_left_out", "bit planes that windows were decoded without, summed over subbands (`SIDECAR_JP2_LOSS_DB`)"
)
LAYERS: Final = Tally("jp2_layers_left_out", "quality layers that windows were decoded without (as above)")
BLOCKS: Final = Tally(
    "jp2_blocks_left_out", "code blocks that were read, and not decoded, since no pixel depends on them"
)


def count(left_out: LeftOut, *, cut: bool) -> None:
    """Count what a window is decoded without."""
    PLANES.add(left_out.planes)
    LAYERS.add(left_out.layers)
    BLOCKS.add(left_out.blocks)
    if cut:
        CUT.add()
