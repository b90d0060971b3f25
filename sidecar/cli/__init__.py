"""The command `sidecar`."""
