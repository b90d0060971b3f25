"""How many calls a pool of native threads runs at once."""

from __future__ import annotations

import threading
import time

import gevent

from sidecar.limits.threads import NativePool


def most_at_once(pool: NativePool) -> int:
    """Run twelve short calls and return how many were under way together at most."""
    lock, now, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    gevent.joinall([gevent.spawn(pool, work) for _ in range(12)], raise_error=True)
    return most
