"""What a decoder plugin says of an image to people: facts, what a window takes, what would make it cheaper to serve.

`sidecar inspect`, `sidecar explain` and the status page show it as it stands. Nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from sidecar.plugin.decoder import Window

Value: TypeAlias = str | int | float | bool
W_contra = TypeVar("W_contra", bound=Window, contravariant=True)


class Fact(NamedTuple):
    """Something that is known of an image or of a window."""

    name: str
    """A few lower-case words, the same for all images of a decoder; the unit of a number is one of them."""
    value: Value


@dataclass(frozen=True, slots=True)
class Advice:
    """What would make an image cheaper to serve."""

    reason: str
    """What costs more than it has to: a sentence without a full stop."""
    remedy: str
    """What to do: a sentence without a full stop."""
    commands: tuple[str, ...] = ()
    """Command lines that do it, one for each encoder, with IN and OUT in the place of the files."""


@runtime_checkable
class Describes(Protocol[W_contra]):
    """An optional power of a reader: it describes the image and its windows."""

    def facts(self) -> Sequence[Fact]:
        """Return what the image is, beyond its ImageInfo. Called in a greenlet; reads nothing.

        Names are unique, and the order is that in which they are shown.
        """
        ...

    def window_facts(self, window: W_contra) -> Sequence[Fact]:
        """Return what decoding a window of this reader takes, beyond its ranges. Called in a greenlet.

        It may read parts of an index, as `window` does. Raises what `window` raises.
        """
        ...

    def advice(self) -> Sequence[Advice]:
        """Return what would make the image cheaper to serve, what gains most first; nothing if it is well made.

        Called in a greenlet; reads nothing.
        """
        ...


@runtime_checkable
class Learns(Protocol):
    """An optional power of a decoder: while nothing else is to be done, it learns how to decode images faster."""

    @property
    def learning(self) -> bool:
        """Whether it is about to learn something of images that were asked for. Called in a greenlet."""
        ...
