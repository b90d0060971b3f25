"""What an encoder demands of a picture: strips of a height, memory, and threads in which a long call delays nobody."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.errors import BeyondFormat
from sidecar.plugin import EncoderFactory, Frame, NeedsWholePicture, Size
from sidecar.render.plugin_calls import plugin_call
from sidecar.render.tiling import SMALL


@dataclass(frozen=True, slots=True)
class Demands:
    """For one picture."""

    rows: int
    """The strip height."""
    memory: int
    """See EncoderFactory.memory."""
    at_once: bool
    """Whether the picture is encoded in one call that takes longer than a tile."""


def demands(factory: EncoderFactory, frame: Frame) -> Demands:
    """Ask an encoder for its demands. Raises BeyondFormat if it makes no picture as large, and what plugins raise."""
    with plugin_call(factory.format, f"{frame.size}"):
        _check_size(factory, frame.size)
        rows = min(factory.rows(frame), frame.size.height)
        whole = isinstance(factory, NeedsWholePicture) or rows == frame.size.height
        return Demands(rows, factory.memory(frame), at_once=whole and frame.size.area > SMALL)


def _check_size(factory: EncoderFactory, size: Size) -> None:
    asked = f"size: {size.width} x {size.height} pixels"
    # Optional: a factory without it refuses at its start, and the request is handed over.
    largest: int | None = getattr(factory, "largest_side", None)
    if largest is not None and max(size.width, size.height) > largest:
        raise BeyondFormat(f"{asked}; the largest side of {factory.format} is {largest}")
    if isinstance(factory, NeedsWholePicture) and size.area > factory.largest_area:
        raise BeyondFormat(f"{asked}; the most pixels of {factory.format} are {factory.largest_area}")
