"""Cantaloupe's own `cantaloupe.properties`: what the sidecar takes over from it."""

from __future__ import annotations

from sidecar.cantaloupe.takeover import Note, Takeover, read

__all__ = ["Note", "Takeover", "read"]
