"""Who counts as one client."""

from __future__ import annotations

import pytest

from sidecar.limits.clients import client_name


@pytest.mark.parametrize(
    "address, name",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8::7", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_names(address: str, name: str) -> None:
    """An IPv4 address however it is written, the network of an IPv6 address, anything else as it is."""
    assert client_name(address) == name
