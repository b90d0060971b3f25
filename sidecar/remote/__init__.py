"""Objects of remote storage as blobs: what all sources have in common whose bytes come over a network.

A source brings a `Transport` (for HTTP: `RangedTransport` over its own `HttpOrigin`) and settings made from
`RemoteSettings`; `RemoteObjects` does the rest: finding, kept blocks, single flight, joined ranges, concurrency,
retries, deadlines. Plugins import it from `sidecar.plugin.remote`. Imports the public API and errors only.
"""
