"""Far objects as blobs: what every source has in common whose bytes come over a network.

A plugin brings a `Transport` (for HTTP: `RangedTransport` over its own `Far`) and settings made from `RemoteSettings`;
`RemoteObjects` does the rest: finding, kept blocks, single flight, joined ranges, turns, further attempts, deadlines.
"""

from sidecar.remote.settings import RemoteSettings
from sidecar.remote.source import RemoteObjects
from sidecar.remote.transport import Opening, Transient, Transport, Version

__all__ = ["Opening", "RemoteObjects", "RemoteSettings", "Transient", "Transport", "Version"]
