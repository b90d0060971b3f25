"""What an examination found: a subject, how it is, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "warning", "problem"]
"""A warning is something that works and could be better, or cannot be seen from here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at."""

    subject: str
    """What it belongs to: `libraries`, `nginx` and so on."""
    state: State
    text: str
    remedy: str = ""
    """What to do; empty if nothing has to be done."""


Examination: TypeAlias = Callable[[], Iterable[Finding]]


def examined(subject: str, examination: Examination) -> Iterator[Finding]:
    """Yield what an examination finds; if it fails itself, that is a finding too, and the others go on."""
    try:
        yield from examination()
    except Exception as error:  # noqa: BLE001  # whatever a system or a plugin does that nobody thought of
        text = f"this could not be examined: {type(error).__name__}: {' '.join(str(error).split())}"
        yield Finding(subject, "problem", text, "report it as an error of the sidecar, with this line")
