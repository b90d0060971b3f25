"""Small responses, made whole before they are sent; identical ones asked for at the same time are made once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from sidecar.render.body import Body
from sidecar.render.client import Client
from sidecar.render.joint_response import JointResponse, Users

Start: TypeAlias = Callable[[Client], Body]
"""Begins a response: see `Renderer.start`."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A response, as one of those that wait for it gets it."""

    data: bytes
    over: Callable[[], None]
    """To be called when it has been sent, or never will be."""
    details: dict[str, str | int]
    """For the log."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A response and its memory, which is given back when the last of those that got it have sent it."""

    data: bytes
    details: dict[str, str | int]
    users: Users

    def use(self) -> Callable[[], None]:
        """See Shared."""
        return self.users.use()


class WholeResponses:
    """The small responses under way in a worker, by ETag. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, JointResponse[_Made]] = {}

    def get(self, etag: str, start: Start, client: Client) -> Whole:
        """Return the response with an ETag; `start` begins it if it is not under way.

        Raises what making it raises, each waiting request an error of its own, and what `client.check_alive` raises.
        """
        response = self._under_way.get(etag)
        if response is None:
            response = self._under_way[etag] = JointResponse(partial(_make, start), partial(self._forget, etag))
        got = response.wait(client)
        return Whole(got.made.data, got.over, got.made.details | {"shared": got.joined})

    def _forget(self, etag: str) -> None:
        del self._under_way[etag]


def _make(start: Start, client: Client) -> _Made:
    with closing(start(client)) as body:
        data = b"".join(body)
        return _Made(data, body.details, Users(body.keep(len(data))))
