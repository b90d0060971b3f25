"""How many calls a pool of native threads really runs at once."""

from __future__ import annotations

import threading
import time

import gevent

from sidecar.native import NativePool


def most_at_once(pool: NativePool) -> int:
    """The most of twelve short calls that were under way together; all are done."""
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
