"""Large responses under way; identical ones that are asked for at the same time are made once, within a bound.

A response that nobody else has asked for costs nothing more: its chunks are dropped as soon as they are taken, and
nobody may join once the first one is made. If others ask for the same before that, all of it is held, encoded, until
the last of them is over, and whoever comes meanwhile gets it from the beginning. How much that may take is reserved
when the first of the others joins: as much as the pixels. What does not fit is made for each client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar.plugin import Frame
from sidecar.render.client import Client
from sidecar.render.joint_response import JointResponse
from sidecar.render.shared_stream import Reader, SharedStream
from sidecar.render.whole_responses import Start

_HEAD: Final = 2**16
"""Bytes of a file beside its pixels and its ICC profile."""


@dataclass(eq=False, slots=True)
class _UnderWay:
    """A response that waits for memory, or that is being made."""

    joint: JointResponse[SharedStream]
    stream: SharedStream | None = None
    reserved: int = 0
    """Bytes, once several wait for it."""


class StreamedResponses:
    """The large responses under way in a worker, by ETag. Belongs to one event loop."""

    def __init__(self, limit: int = 0) -> None:
        """`limit`: bytes that responses with several clients may take, encoded; 0: each client gets its own."""
        self._left = limit
        self._joinable: dict[str, _UnderWay] = {}

    def get(self, etag: str, frame: Frame, start: Start, client: Client) -> Reader:
        """Return the response with an ETag; `start` begins it if it is not under way. `frame` is what is encoded.

        Raises what beginning it raises, each waiting request an error of its own, and what `client.check_alive` raises.
        """
        found = self._joinable.get(etag)
        if found is not None and self._reserve(found, encoded_bytes(frame)):
            if found.stream is not None:
                found.joint.note_joined()
                return Reader(found.stream, found.stream.use(), client.check_alive, joined=True)
        elif found is None:
            found = self._joinable[etag] = self._begun(etag, start)
        else:
            found = self._begun(etag, start)
        got = found.joint.wait(client)
        return Reader(got.made, got.over, client.check_alive, joined=got.joined)

    def _begun(self, etag: str, start: Start) -> _UnderWay:
        def make(client: Client) -> SharedStream:
            body = start(client)
            if not found.reserved:
                self._close(etag, found)
            found.stream = SharedStream(body, kept=found.reserved > 0, ended=ended)
            return found.stream

        def ended() -> None:
            self._end(etag, found)

        def joined() -> None:
            if found.stream is None:
                ended()

        found = _UnderWay(JointResponse(make, joined))
        return found

    def _reserve(self, found: _UnderWay, size: int) -> bool:
        """Reserve what a response with several clients takes, if it is not reserved yet; return whether it is."""
        if not found.reserved and size <= self._left:
            self._left -= size
            found.reserved = size
        return found.reserved > 0

    def _close(self, etag: str, found: _UnderWay) -> None:
        """Let nobody join any more."""
        if self._joinable.get(etag) is found:
            del self._joinable[etag]

    def _end(self, etag: str, found: _UnderWay) -> None:
        self._close(etag, found)
        self._left += found.reserved
        found.reserved = 0
        found.stream = None  # it leads back here


def encoded_bytes(frame: Frame) -> int:
    """Return the bytes that a picture takes, encoded: no more than its pixels, but for noise at the best quality."""
    return frame.size.area * frame.channels + len(frame.icc or b"") + _HEAD
