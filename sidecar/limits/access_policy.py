"""Which requests are Cantaloupe's to answer, whatever the image: guarded images, and settings that only it honours."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.config import EXTENTS, Extent, Settings
from sidecar.errors import Unsupported


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What the operator's settings, and those of Cantaloupe, leave to the sidecar."""

    guarded_by: str = ""
    """Why images may be guarded by something that the sidecar does not know; empty if they are not."""
    handed_over: Extent = ""
    """The requests that Cantaloupe must answer."""

    @classmethod
    def of(cls, settings: Settings) -> AccessPolicy:
        """Read the policy from the settings."""
        guarded_by = "" if settings.authorization_is_done_in_front else settings.guarded or _delegate(settings)
        return cls(guarded_by, settings.hand_over)

    def check(self, extent: Extent) -> None:
        """Raise Unsupported if requests of an extent are Cantaloupe's."""
        if self.guarded_by:
            raise Unsupported(f"images may be guarded: {self.guarded_by}")
        if self.handed_over and EXTENTS.index(self.handed_over) >= EXTENTS.index(extent):
            raise Unsupported("Cantaloupe's settings make this request its own")


def _delegate(settings: Settings) -> str:
    """Return why the delegate script may guard images. The script itself counts more than what is said of it."""
    if not settings.delegate_guards or not settings.delegate_only_looks_up:
        return settings.delegate_guards
    return f"{settings.delegate_guards}, and {settings.delegate_objection}" if settings.delegate_objection else ""
