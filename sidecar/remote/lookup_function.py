"""An operator's own function that says where an image is, found by its entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

from sidecar.errors import SourceError, StartError
from sidecar.plugin.lookup import LookupSettings

GROUP: Final = "sidecar.lookup"


def load(settings: LookupSettings) -> Callable[[str], tuple[str, ...] | None]:
    """Return the function that is set, whose results are checked. Raises StartError if it cannot be imported."""
    name = settings.lookup_function
    variable = settings.variable("lookup_function")
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise StartError(f"{variable}: no entry point {name!r} of the group `{GROUP}` is installed")
    if len(found) > 1:
        raise StartError(f"{variable}: more than one entry point {name!r} of the group `{GROUP}` is installed")
    (entry,) = found
    try:
        function = entry.load()
    except Exception as error:
        raise StartError(f"{variable}: {entry.value}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise StartError(f"{variable}: {entry.value} is no function")

    def ask(identifier: str) -> tuple[str, ...] | None:
        return _checked(name, function(identifier))

    return ask


def _checked(name: str, place: object) -> tuple[str, ...] | None:
    """Return a place as a tuple. Raises SourceError if it is none."""
    if place is None:
        return None
    texts = (place,) if isinstance(place, str) else place
    if not isinstance(texts, tuple) or len(texts) not in (1, 2) or not all(isinstance(x, str) and x for x in texts):
        raise SourceError(f"the lookup {name!r} returned neither a text, nor a tuple of one or two, nor None")
    return texts
