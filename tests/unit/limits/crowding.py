"""How many calls a pool of native threads runs at once."""

from __future__ import annotations

import threading
import time

import gevent

from sidecar.limits.threads import NativePool

PATIENCE = 5.0
"""Seconds until a thread that has not begun never will; as long waits each call of a pool that has too few."""


def most_at_once(pool: NativePool) -> int:
    """Run twelve calls and return how many were under way together at most.

    None returns before as many as the pool has threads have been under way together, however late a thread begins.
    """
    now, most, changed = 0, 0, threading.Condition()

    def work() -> None:
        nonlocal now, most
        with changed:
            now += 1
            most = max(most, now)
            changed.notify_all()
            changed.wait_for(lambda: most >= pool.threads, PATIENCE)
        time.sleep(0.005)
        with changed:
            now -= 1

    gevent.joinall([gevent.spawn(pool, work) for _ in range(12)], raise_error=True)
    return most
