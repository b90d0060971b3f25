"""Which addresses and names are private, and which identifiers may become part of a remote name."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("address", ["8.8.8.8", "52.95.110.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
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
