"""How many files and connections a worker may have open, and what it does with them (getrlimit(2), RLIMIT_NOFILE).

A worker that runs out of descriptors can neither take a connection nor open an image. So it gets as many as it may
need; if the system does not allow that, it takes fewer connections and keeps fewer images open, and refuses the
connections that are too many.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Final

from sidecar.config import Settings
from sidecar.errors import StartError

CONNECTIONS: Final = 1000
"""Connections of a worker if there are descriptors for them: work is bounded by memory, idle ones cost little."""
REFUSALS: Final = 4
"""Connections of a worker that are being refused."""
_FEWEST: Final = 4
"""Connections, and kept images, without which a worker is of no use."""
_OWN: Final = 30
"""Of the interpreter, the event loop, metrics, journals and logs: 26 are open in a worker that does nothing."""
_OF_CONNECTION: Final = 2
"""The connection and the image that it asks for, or a connection to Cantaloupe."""
_OF_THREAD: Final = 2
"""A file that a native thread reads, and a folder on the way to it."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a worker does with its descriptors."""

    connections: int
    """That it serves at once."""
    readers: int
    """Images that it keeps open for the next request."""
    warning: str = ""
    """What the operator should know."""


def needed(settings: Settings) -> int:
    """Return how many descriptors a worker takes at most."""
    return _fixed(settings) + _OF_CONNECTION * CONNECTIONS + settings.reader_cache_size


def fewest(settings: Settings) -> int:
    """Return with how many descriptors a worker is of any use."""
    return _fixed(settings) + _OF_CONNECTION * _FEWEST + _FEWEST


def _fixed(settings: Settings) -> int:
    return _OWN + settings.workers + REFUSALS + _OF_THREAD * (settings.native_threads + len(os.sched_getaffinity(0)))


def shared_out(settings: Settings, limit: int) -> Descriptors:
    """Return what to do with so many descriptors. Raises StartError if a worker cannot do with them."""
    if limit == resource.RLIM_INFINITY or limit >= needed(settings):
        return Descriptors(CONNECTIONS, settings.reader_cache_size)
    if limit < fewest(settings):
        raise StartError(
            f"the limit of open files is {limit} (ulimit -n, LimitNOFILE=); a worker with SIDECAR_THREADS="
            f"{settings.native_threads} needs {fewest(settings)} at the least and {needed(settings)} at the best"
        )
    readers = min(settings.reader_cache_size, max(_FEWEST, (limit - _fixed(settings)) // 4))
    connections = min(CONNECTIONS, (limit - _fixed(settings) - readers) // _OF_CONNECTION)
    return Descriptors(
        connections,
        readers,
        f"The limit of open files is {limit} (ulimit -n, LimitNOFILE=); a worker needs up to {needed(settings)}. "
        f"With {limit} it serves {connections} connections at once and keeps {readers} images open.",
    )


def claim(settings: Settings) -> Descriptors:
    """Raise this process's own limit as far as its workers need and the system allows. Raises StartError as above.

    The soft limit is often 1024, for programs that use select(2); nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(settings)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return shared_out(settings, soft)
