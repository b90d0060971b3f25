"""`python -m sidecar` is the command `sidecar`."""

from __future__ import annotations

from sidecar.cli.main import main

if __name__ == "__main__":
    main()
