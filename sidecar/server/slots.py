"""Slots: addresses at which one worker listens by itself, so that nginx can send an image to the same worker always.

There are as many as workers. A slot belongs to no process: its socket is the master's and outlives workers, and
`slot_owners` says which worker answers there at the moment.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Final

from sidecar.errors import StartError

_LOOPBACK: Final = IPv4Network("127.1.0.0/16")
"""On Linux all of 127.0.0.0/8 is this machine (RFC 1122 §3.2.1.3), so slots need no ports of their own."""
_LARGEST_PORT: Final = 65535
OFF: Final = "off"


def addresses(bind: str, worker_bind: str, workers: int) -> list[str]:
    """Return the slots' addresses, written as SIDECAR_BIND is; none if there are no slots. Raises StartError.

    `worker_bind`: as SIDECAR_WORKER_BIND; empty: they follow from `bind`, if that is one address of this machine.
    """
    if worker_bind == OFF:
        return []
    if worker_bind.startswith("unix:"):
        return [f"{worker_bind}.{number}" for number in range(1, workers + 1)]
    if worker_bind:
        return _ports(worker_bind, workers)
    if "," in bind:
        return []
    if bind.startswith("unix:"):
        return addresses(bind, bind, workers)
    host, _, port = bind.rpartition(":")
    return [f"{_LOOPBACK[number]}:{port}" for number in range(1, workers + 1)] if _is_ours(host) else []


def _ports(first: str, workers: int) -> list[str]:
    """Return ports that follow each other."""
    host, _, port = first.rpartition(":")
    if int(port) + workers - 1 > _LARGEST_PORT:
        raise StartError(f"SIDECAR_WORKER_BIND: there are not as many ports from {port} on as workers, {workers}")
    return [f"{host}:{int(port) + number}" for number in range(workers)]


def _is_ours(host: str) -> bool:
    """Return whether only this machine can connect to a host, and slots can stand beside it."""
    if host == "localhost":
        return True
    try:
        found = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return found.is_loopback and not (isinstance(found, IPv4Address) and found in _LOOPBACK)
