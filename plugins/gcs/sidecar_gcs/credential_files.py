"""Where Google's Application Default Credentials are read from, at start and when a token is fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sidecar.plugin import Folder

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


def _token_files(credentials: Path) -> Iterator[Path]:
    """Yield the file with the token of a federated identity, if credentials name one (AIP-4117)."""
    try:
        with credentials.open("rb") as file:
            found = json.loads(file.read(_LONGEST))
    except (OSError, ValueError):  # google-auth says what is wrong
        return
    source = found.get("credential_source") if isinstance(found, Mapping) else None
    if isinstance(source, Mapping) and isinstance(source.get("file"), str):
        yield Path(source["file"])
