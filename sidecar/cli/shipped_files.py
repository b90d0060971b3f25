"""Files for nginx and systemd that are shipped beside the code: where they are, and how they are written elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

import sidecar
from sidecar.errors import StartError


def folder(name: str) -> Path:
    """Return a folder of shipped files: within the package if it was installed, else in the checkout."""
    package = Path(sidecar.__file__).parent
    return next(path for path in (package / name, package.parent / name) if path.is_dir())


def show(files: Mapping[str, str], into: Path | None) -> None:
    """Write files into a folder, each at its path in it, or print them one after the other. Raises StartError."""
    for name, text in files.items():
        if into is None:
            typer.echo(f"# ===== {name} =====\n\n{text}")
            continue
        file = into / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StartError(f"--into: {error}") from error
        typer.echo(file)
