"""An image sidecar for Cantaloupe. What a plugin needs is exported here; see `sidecar.interfaces`."""

from sidecar.config import Config, Section
from sidecar.hookspecs import hookimpl

__all__ = ["Config", "Section", "hookimpl"]
