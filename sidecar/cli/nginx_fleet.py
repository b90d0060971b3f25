"""Sidecars on several hosts behind one nginx: how the site finds them, and what nginx does if one of them fails.

An image goes to a worker by one consistent hash over the workers of all hosts, and if that one cannot be reached, to
the next on the ring: only images of a host that is gone, or of one that is new, change their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

from sidecar.config import Settings
from sidecar.errors import StartError
from sidecar.server.slots import OFF, addresses

TRIES: Final = 2
"""Workers that a request is sent to: nothing is lost with a host, and an image that crashes workers crashes no more."""
# After one failure nginx asks others for five seconds, and does not wait for a host that is gone each time.
_AFTER_FAILURE: Final = "max_fails=1 fail_timeout=5s"
# For how long nginx believes a name server.
_FRESHNESS: Final = "valid=5s"
# In place of the weights of SRV records (RFC 2782), for which 1 would stand. CoreDNS shares out 100 among all hosts, so
# that with one host more nginx would move images between others, too: from three hosts to four 138 of 400, and not 94.
_OWN_WEIGHT: Final = "weight=2"
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_PORT: Final = re.compile(r"(?!unix:)[^,]*:([0-9]+)")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where the sidecars are: hosts that are listed, or those that SRV records list. All have the same settings."""

    hosts: Sequence[str] = ()
    """Names or addresses, IPv6 in brackets."""
    service: str = ""
    """In place of them a name with SRV records, as a headless Service of Kubernetes has: for its port `http`, and for
    those of workers, `worker-1`, `worker-2` and so on. Takes nginx 1.27.3."""
    port: int = 8183
    """Where any worker of a host answers."""
    worker_ports: Sequence[int] = ()
    """Where single workers answer; none: a host is asked as one."""
    resolvers: Sequence[str] = ()
    """Name servers that nginx asks for `service`."""

    def any_worker(self) -> str:
        """Return what stands in the upstream of any worker, after `server` and before the last semicolon."""
        directives = [*self._directives("sidecar_any", {"http": self.port}), "hash $sidecar_image consistent"]
        return ";\n    ".join(directives).removeprefix("server ")

    def workers(self) -> str:
        """Return the lines of the upstream of single workers, which has a `hash` already."""
        ports = {f"worker-{number}": port for number, port in enumerate(self.worker_ports, start=1)}
        return "".join(f"    {each};\n" for each in self._directives("sidecar_workers", ports or {"http": self.port}))

    def _directives(self, zone: str, ports: Mapping[str, int]) -> list[str]:
        """Return the servers, and what processes of nginx share of them. `ports`: by their names in SRV records."""
        if self.service:
            servers = [f"{self.service} service={name} resolve {_OWN_WEIGHT}" for name in ports]
            asked = [f"resolver {' '.join(self.resolvers)} {_FRESHNESS}", "resolver_timeout 2s"]
        else:
            servers = [f"{host}:{port}" for host in self.hosts for port in ports.values()]
            asked = []
        return [*(f"server {each} {_AFTER_FAILURE}" for each in servers), f"zone {zone} 256k", *asked]


def fleet_of(settings: Settings, hosts: Sequence[str], service: str) -> Fleet | None:
    """Return the fleet on hosts, or behind a service; None without either. Raises StartError."""
    if not hosts and not service:
        return None
    if hosts and service:
        raise StartError("--host, --service: only one of them")
    for option, name in (*(("--host", each) for each in hosts), ("--service", service or "none")):
        if not _HOST.fullmatch(name):
            raise StartError(f"{option}: {name!r} is no name of a host; IPv6 addresses stand in brackets")
    ports = []
    if settings.worker_bind not in ("", OFF):
        slots = addresses(settings.bind, settings.worker_bind, settings.workers)
        ports = [_port("SIDECAR_WORKER_BIND", each) for each in slots]
    port = _port("SIDECAR_BIND", settings.bind)
    return Fleet(hosts, service, port, ports, name_servers() if service else ())


def name_servers(file: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the name servers of this machine (resolv.conf(5)), as nginx writes them. Raises StartError for none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        found = [ip_address(words[1]) for words in map(str.split, lines) if words[:1] == ["nameserver"]]
    except (OSError, ValueError, IndexError) as error:
        raise StartError(f"--service: {file}: {error}") from error
    if not found:
        raise StartError(f"--service: {file} names no name server")
    return [f"[{each}]" if isinstance(each, IPv6Address) else str(each) for each in found]


def _port(variable: str, address: str) -> int:
    found = _PORT.fullmatch(address)
    if not found:
        raise StartError(f"{variable}: {address!r} is not a port, by which nginx on another host could reach it")
    return int(found[1])
