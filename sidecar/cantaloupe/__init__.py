"""Cantaloupe's own `cantaloupe.properties`: what the sidecar takes over from it."""

from __future__ import annotations

from sidecar.cantaloupe.delegate_script import DelegateScript
from sidecar.cantaloupe.takeover import Note, Takeover, read

__all__ = ["DelegateScript", "Note", "Takeover", "read"]
