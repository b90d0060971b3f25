"""Cantaloupe's delegate script: whether it only looks images up, so that a lookup of our own can replace it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.cantaloupe import DelegateScript
from sidecar.cli.doctor.finding import Finding
from sidecar.config import Settings

_SUBJECT: Final = "delegate"
_ONLY: Final = Settings.variable("delegate_only_looks_up")
_FRONT: Final = Settings.variable("authorization_is_done_in_front")


def script(found: DelegateScript | None, settings: Settings) -> Iterator[Finding]:
    """Yield which methods of the script in use do something, by what they are for."""
    if found is None:
        return
    name = found.path or "the script"
    if found.problem:
        text = f"{name} {found.problem}, so what it does is not known" if found.path else found.problem
        remedy = f"let the sidecar read it: {_ONLY} has no effect before"
        yield Finding(_SUBJECT, "warning", text, remedy)
        return
    yield from _lookups(found, settings)
    if guards := found.may_guard:
        effect, remedy = "every request is handed over", f"see docs/operate/auth.md for {_FRONT}"
        if settings.authorization_is_done_in_front:
            effect, remedy = "it is not asked for what the sidecar answers", "see that nginx refuses the same"
        text = f"{name} has {_listed(guards)}, which may refuse images or parts of them: {effect}"
        yield Finding(_SUBJECT, "warning", text, remedy)
    if adds := found.of_role("adds"):
        text = f"{name} has {_listed(adds)}: responses of the sidecar lack what these add"
        yield Finding(_SUBJECT, "warning", text, "leave these requests to Cantaloupe if your viewers need it")
    if found.elsewhere:
        text = f"{name} has {_listed(found.elsewhere)}: it may have methods that do not show in its text"
        yield Finding(_SUBJECT, "warning", text, f"read it before you set {_ONLY}")


def _lookups(found: DelegateScript, settings: Settings) -> Iterator[Finding]:
    looks_up = found.of_role("looks up")
    what = f"looks images up by {_listed(looks_up)}" if looks_up else "does not look images up"
    if not found.only_looks_up:
        yield Finding(_SUBJECT, "ok", f"{found.path} {what}")
        return
    if settings.delegate_only_looks_up:
        yield Finding(_SUBJECT, "ok", f"{found.path} {what} and does nothing else, as {_ONLY} says")
        return
    text = f"{found.path} {what} and does nothing else that shows, but because of it every request is handed over"
    remedy = f"read it yourself; if it does no more, set a lookup (docs/operate/lookup.md) and {_ONLY}=true"
    yield Finding(_SUBJECT, "warning", text, remedy)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
