"""Who counts as one client: an IPv4 address, or the network of an IPv6 address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

_NETWORK: Final = 64
"""Bits of an IPv6 address that its owner does not choose: hosts have the rest to themselves (RFC 4291 §2.5.4)."""


def client_name(address: str) -> str:
    """Return the name of the client at an address; what is no address is a name of its own."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    # ::ffff:192.0.2.1 is 192.0.2.1, as a socket for both versions sees it (RFC 4291 §2.5.5.2).
    return str(found.ipv4_mapped or IPv6Network((int(found), _NETWORK), strict=False))
