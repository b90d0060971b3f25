"""For sources whose bytes come over a network: finding, kept blocks, joined ranges, retries, deadlines.

A source brings an `HttpOrigin` (how to ask for an object, and which responses mean that there is none) and settings
made from `RemoteSettings`; `RemoteObjects` over a `RangedTransport` does the rest. A storage that does not speak HTTP
brings a `Transport` of its own. `Places` say where an image is if its identifier alone does not, `BucketSource` is the
whole source if objects lie in buckets, and `Tokens` keep what a cloud's accounts are known by. A `RetryPolicy` is for
requests that none of these makes. Import this module only
if a source is set up: urllib3 takes time and memory.
"""

from __future__ import annotations

from sidecar.plugin.settings import RemoteSettings
from sidecar.remote.buckets import BucketSource
from sidecar.remote.http_client import Client, Response
from sidecar.remote.http_ranges import REDIRECTS, HttpOrigin, RangedTransport, refused
from sidecar.remote.identifiers import is_plain
from sidecar.remote.lookup import Place, Places, blob_at, places_of
from sidecar.remote.objects import RemoteObjects
from sidecar.remote.private_addresses import is_private, names_private
from sidecar.remote.retry import RetryPolicy
from sidecar.remote.tokens import Token, Tokens
from sidecar.remote.transport import Opening, Transient, Transport, Version

__all__ = [
    "REDIRECTS",
    "BucketSource",
    "Client",
    "HttpOrigin",
    "Opening",
    "Place",
    "Places",
    "RangedTransport",
    "RemoteObjects",
    "RemoteSettings",
    "Response",
    "RetryPolicy",
    "Token",
    "Tokens",
    "Transient",
    "Transport",
    "Version",
    "blob_at",
    "is_plain",
    "is_private",
    "names_private",
    "places_of",
    "refused",
]
