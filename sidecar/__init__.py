"""An image sidecar for Cantaloupe. Plugins import from `sidecar.plugin`."""

from __future__ import annotations

__version__ = "0.2.0"
