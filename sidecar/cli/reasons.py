"""What reasons mean: the words of docs/reasons.md, from where that page has them too."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.errors import SidecarError


def meaning(reason: str) -> str:
    """Return what a reason means, in a sentence or two; empty if there is no such reason."""
    kind = _kind(reason)
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split()) if kind else ""


def status_alone(reason: str) -> int:
    """Return the status of a request that nobody can be handed over to."""
    kind = _kind(reason)
    return kind.status if kind else SidecarError.status


def _kind(reason: str) -> type[SidecarError] | None:
    return next((kind for kind in _kinds(SidecarError) if kind.reason == reason), None)


def _kinds(kind: type[SidecarError]) -> Iterator[type[SidecarError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
