"""Which addresses are private: a name may resolve to another address at any moment (DNS rebinding)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 §2.1: holds an IPv4 address in its last four bytes."""
_PRIVATE_NAMES: Final = ("localhost", "local", "internal", "home.arpa", "test")
"""Top-level names that no public server has: RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`."""


def is_private(address: str) -> bool:
    """Report whether an IP address is private: loopback, link-local, site-local, reserved, multicast or shared."""
    found = ip_address(address.partition("%")[0])
    inner = _inner(found) if isinstance(found, IPv6Address) else None
    return any(not each.is_global or each.is_multicast for each in (found, inner) if each)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def names_private(host: str) -> bool:
    """Report whether a host as written can only be on a private network, by its address or its name."""
    bare = host.strip("[]").rstrip(".").lower()
    try:
        return is_private(bare)
    except ValueError:
        return "." not in bare or bare.endswith(tuple(f".{name}" for name in _PRIVATE_NAMES))
