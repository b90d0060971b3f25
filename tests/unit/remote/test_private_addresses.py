"""Which addresses and names are private, and which identifiers may become part of a remote name."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.remote.identifiers import is_plain
from sidecar.remote.private_addresses import is_private, names_private


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),  # noqa: S104
        *("100.64.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::"),
    ],
)
def test_private_addresses(address: str) -> None:
    """Loopback, site-local, link-local, shared, reserved, multicast, and IPv4 inside IPv6."""
    assert is_private(address)


# All of IANA's "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry" of 2025, and what
# the address architectures reserve besides: RFC 4291 §2.4, RFC 3879, RFC 2765 §2.1, RFC 5214, RFC 5771.
SPECIAL: Final = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
    192.0.0.9/32 192.0.0.10/32 192.0.0.170/31 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16
    192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 224.0.0.0/4
    ::1/128 ::/128 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128
    2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48
    2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
    3fff::/20 5f00::/16 fc00::/7 fe80::/10
    ::/96 fec0::/10 ff00::/8 100::/8 200::/7 400::/6 800::/5 1000::/4 4000::/2 8000::/1 c000::/3 e000::/4 f000::/5
"""
DISGUISES: Final = """
    ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:0:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::127.0.0.1
    64:ff9b::10.0.0.1 64:ff9b::192.88.99.1 64:ff9b:1::8.8.8.8 64:ff9b:1:fffe::10.0.0.1 2002:7f00:1::1 2002:808:808::1
    2001:0:7f00:1:: 2001:0:4136:e378:8000:63bf:80ff:fffe 2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1
    fec0::1 fe80::5efe:8.8.8.8
"""
"""Ways in which an IPv6 address says or hides an IPv4 one, that of this machine or of a network behind it."""


@pytest.mark.parametrize("network", SPECIAL.split())
def test_special_purpose_networks_are_private(network: str) -> None:
    """The first, the last and one in the middle of each registered network, on every Python."""
    found = ip_network(network)
    middle = found.network_address + (found.num_addresses // 2)
    assert all(is_private(str(address)) for address in (found.network_address, middle, found.broadcast_address))


@pytest.mark.parametrize("address", DISGUISES.split())
def test_disguised_addresses_are_private(address: str) -> None:
    """An address within an address is looked at, or the whole form is refused."""
    assert is_private(address)


@given(st.ip_addresses(v=6))
def test_only_global_unicast_is_public(address: IPv6Address) -> None:
    """Outside of 2000::/3 nothing is public but IPv4 written as IPv6 for sockets and translators."""
    forms = ("2000::/3", "::ffff:0:0/96", "64:ff9b::/96")
    assert is_private(str(address)) or any(address in ip_network(form) for form in forms)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "52.95.110.1", "1.1.1.1", "192.0.1.1", "198.20.0.1"),
        *("2606:4700::1111", "2a00:1450:4001::1", "2400:cb00::1", "2001:4860:4860::8888", "2606:4700::5efe:8.8.8.8"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_public_addresses(address: str) -> None:
    """Hosts of the internet."""
    assert not is_private(address)


@pytest.mark.parametrize(
    "host, private",
    [
        *[
            (host, True)
            for host in ("localhost", "minio", "files.local", "a.b.internal", "Files.LOCAL.", "nas.home.arpa")
        ],
        *[(host, True) for host in ("127.0.0.1", "10.0.0.5", "[::1]", "::1")],
        *[
            (host, False)
            for host in ("images.example.org", "8.8.8.8", "local.example.org", "notlocal.com", "[2606:4700::1111]")
        ],
    ],
)
def test_names_of_private_networks(host: str, private: bool) -> None:  # noqa: FBT001  # a column of the table
    """A name without dots, one of a reserved domain, or a private address: nobody outside can answer to it."""
    assert names_private(host) == private


@pytest.mark.parametrize(
    "identifier", ["a.jp2", "a/b c/ü.jp2", "...jp2", "a..b/c", "//a", "x" * 20, "日本.jp2", "a?b#c@d:e%2e"]
)
def test_plain_identifiers(identifier: str) -> None:
    """Any text that names something."""
    assert is_plain(identifier, 20)


@pytest.mark.parametrize(
    "identifier",
    [
        *("", "x" * 21, "ü" * 11, ".", "..", "../a", "a/..", "a/../b", "a/./b", "..\\a", "a\\..\\b", "a/..\\b"),
        *("a\0", "a\r\nHost: b", "\n", "a\tb", "\x7f", "\x85", "\udcff", "\ud800"),
    ],
)
def test_identifiers_that_are_not_plain(identifier: str) -> None:
    """Steps out of the folder, control characters, what is no text, nothing, and too much."""
    assert not is_plain(identifier, 20)
