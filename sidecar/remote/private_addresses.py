"""Which addresses are private: a name may resolve to another address at any moment (DNS rebinding).

For IPv6 the question is turned round. Only 2000::/3 is given out as global unicast (RFC 4291 §2.4, IANA's "IPv6 Global
Unicast Address Assignments"), so everything else is private, whatever it is for: loopback, site-local, IPv4 in one of
its many disguises, and what is not yet thought of. Within it, and for IPv4, IANA's special-purpose registries decide as
Python's `ipaddress` has them, and what the Pythons from 3.11 on lack of these is listed here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052 §2.1: translated to the IPv4 address in its last four bytes, which networks without IPv4 depend on."""
_SPECIAL_6: Final = (
    IPv6Network("2001::/23"),  # RFC 2928: Teredo, ORCHID, benchmarking, anycast of protocols; no web server
    IPv6Network("2001:db8::/32"),  # RFC 3849, documentation
    IPv6Network("2002::/16"),  # RFC 3056, 6to4: leads to the IPv4 address within, or nowhere (RFC 7526)
    IPv6Network("3fff::/20"),  # RFC 9637, documentation
)
_SPECIAL_4: Final = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890, protocols
    IPv4Network("192.31.196.0/24"),  # RFC 7535, AS112
    IPv4Network("192.52.193.0/24"),  # RFC 7450, multicast tunnels
    IPv4Network("192.88.99.0/24"),  # RFC 7526, relays of 6to4
    IPv4Network("192.175.48.0/24"),  # RFC 7534, AS112
)
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
"""RFC 5214 §6.1: in the interface identifier, before an IPv4 address."""
_PRIVATE_NAMES: Final = ("localhost", "local", "internal", "home.arpa", "test")
"""Top-level names that no public server has: RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`."""


def is_private(address: str) -> bool:
    """Report whether an IP address is not that of a server on the internet. Raises ValueError if it is none."""
    found = ip_address(address.partition("%")[0])
    return _is_private_6(found) if isinstance(found, IPv6Address) else _is_private_4(found)


def _is_private_4(address: IPv4Address) -> bool:
    return not address.is_global or address.is_multicast or any(address in network for network in _SPECIAL_4)


def _is_private_6(address: IPv6Address) -> bool:
    # RFC 4291 §2.5.5.2: sockets connect to the IPv4 address itself.
    if address.ipv4_mapped is not None:
        return _is_private_4(address.ipv4_mapped)
    last = IPv4Address(address.packed[-4:])
    if address in _NAT64:
        return _is_private_4(last)
    if address.packed[8:12] in _ISATAP and _is_private_4(last):
        return True
    return address not in _GLOBAL_UNICAST or not address.is_global or any(address in network for network in _SPECIAL_6)


def names_private(host: str) -> bool:
    """Report whether a host as written can only be on a private network, by its address or its name."""
    bare = host.strip("[]").rstrip(".").lower()
    try:
        return is_private(bare)
    except ValueError:
        return "." not in bare or bare.endswith(tuple(f".{name}" for name in _PRIVATE_NAMES))
