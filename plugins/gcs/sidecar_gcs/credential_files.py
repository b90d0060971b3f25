"""Where Google's Application Default Credentials are read from, at start and when a token is fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sidecar.plugin import Folder, StartError

_NAMED: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_GCLOUD: Final = "CLOUDSDK_CONFIG"
_LONGEST: Final = 2**20
"""Bytes of a file of credentials that is looked through."""


def folders() -> Iterable[Folder]:
    """Return the folders of those files; they are replaced by other files there."""
    named = os.environ.get(_NAMED)
    gcloud = Path(os.environ.get(_GCLOUD) or "~/.config/gcloud").expanduser()
    files = [Path(named)] if named else []
    tokens = [path for file in (*files, gcloud / "application_default_credentials.json") for path in _token_files(file)]
    return [Folder(path=gcloud), *(Folder(path=file.parent) for file in (*files, *tokens))]


def check_named() -> None:
    """Raise StartError if a file is named that cannot be read, or that has no kind of credentials."""
    named = os.environ.get(_NAMED)
    try:
        found = _read(Path(named)) if named else {"type": ""}
    except (OSError, ValueError) as error:
        raise StartError(f"{_NAMED}: {named}: {error}") from error
    if "type" not in found:
        raise StartError(f"{_NAMED}: {named} holds no credentials: it has no type")


def _token_files(credentials: Path) -> Iterator[Path]:
    """Yield the file with the token of a federated identity, if credentials name one (AIP-4117)."""
    try:
        source = _read(credentials).get("credential_source")
    except (OSError, ValueError):  # see check_named, which says what is wrong
        return
    if isinstance(source, Mapping) and isinstance(source.get("file"), str):
        yield Path(source["file"])


def _read(file: Path) -> Mapping[str, object]:
    """Return what a file of credentials says; nothing if it is JSON of another kind. Raises OSError, ValueError."""
    with file.open("rb") as opened:
        found = json.loads(opened.read(_LONGEST))
    return found if isinstance(found, Mapping) else {}
