"""Where single workers listen follows from where all do, or is set."""

from __future__ import annotations

import pytest

from sidecar.errors import StartError
from sidecar.server.slots import addresses


@pytest.mark.parametrize(
    "bind, worker_bind, found",
    [
        ("127.0.0.1:8183", "", ["127.1.0.1:8183", "127.1.0.2:8183"]),
        ("localhost:80", "", ["127.1.0.1:80", "127.1.0.2:80"]),
        ("[::1]:80", "", ["127.1.0.1:80", "127.1.0.2:80"]),
        ("unix:/run/s.sock", "", ["unix:/run/s.sock.1", "unix:/run/s.sock.2"]),
        # Other machines could not connect there, or the addresses would be taken.
        ("0.0.0.0:8183", "", []),
        ("10.0.0.5:8183", "", []),
        ("[::]:8183", "", []),
        (":8183", "", []),
        ("127.1.0.1:8183", "", []),
        ("127.0.0.1:8183,10.0.0.5:8183", "", []),
        ("fd://3", "", []),
        ("127.0.0.1:8183", "off", []),
        ("10.0.0.5:8183", "10.0.0.5:8190", ["10.0.0.5:8190", "10.0.0.5:8191"]),
        ("10.0.0.5:8183", "[::1]:8190", ["[::1]:8190", "[::1]:8191"]),
        ("10.0.0.5:8183", "unix:/run/w", ["unix:/run/w.1", "unix:/run/w.2"]),
    ],
)
def test_addresses(bind: str, worker_bind: str, found: list[str]) -> None:
    """There is one for each of two workers, or none."""
    assert addresses(bind, worker_bind, 2) == found


def test_many_workers_have_addresses() -> None:
    """Addresses of this machine last for more workers than one would have; ports may not, which is an error."""
    assert addresses("127.0.0.1:1", "", 300)[-1] == "127.1.1.44:1"
    assert addresses("127.0.0.1:1", "127.0.0.1:65535", 1) == ["127.0.0.1:65535"]
    with pytest.raises(StartError, match="SIDECAR_WORKER_BIND: there are not as many ports"):
        addresses("127.0.0.1:1", "127.0.0.1:65535", 2)
