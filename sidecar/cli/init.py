"""`sidecar init`: writes a file of settings, of answers on a terminal or of a Cantaloupe's own file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

import sidecar
from sidecar import cantaloupe
from sidecar.cli import settings_file
from sidecar.config import Settings, settable
from sidecar.errors import StartError
from sidecar.plugin import Section
from sidecar.registry import Plugins

_ALL: Final = 0o644
_OWNER: Final = 0o600
STDOUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Question:
    """A setting that is asked for."""

    table: str
    name: str
    text: str


QUESTIONS: Final = (
    Question("filesystem", "root", "The folder of the images (empty: they are elsewhere)"),
    Question("s3", "bucket", "The S3 bucket of the images (empty: none)"),
    Question("http", "url_prefix", "The URL of the images up to the identifier (empty: none)"),
    Question("", "cantaloupe_url", "The URL of Cantaloupe, as http://127.0.0.1:8182 (empty: none)"),
    Question("", "bind", "Where to listen"),
    Question("", "workers", "Worker processes"),
)


def execute(file: Path, cantaloupe_file: Path | None, *, asks: bool, every: bool, force: bool) -> None:
    """Write the file, or print it if its name is `-`. Raises StartError, also if it exists."""
    if file != STDOUT and file.exists() and not force:
        raise StartError(f"{file} exists; --force replaces it")
    kinds: list[type[Section]] = [Settings, *sorted(Plugins().sections(), key=lambda kind: kind.table)]
    taken = cantaloupe.read(cantaloupe_file, kinds) if cantaloupe_file else None
    values = {table: dict(each) for table, each in (taken.values if taken else {}).items()}
    if taken and taken.guarded:
        values[""] = _kept_guarded(values[""], taken.guarded)
    if asks:
        ask(kinds, values)
    head = _head(cantaloupe_file, [str(note) for note in taken.notes] if taken else [])
    text = settings_file.written(kinds, values, head, every=every)
    if file == STDOUT:
        typer.echo(text, nl=False)
        return
    _write(file, text, _OWNER if settings_file.has_secrets(values, kinds) else _ALL, force=force)
    typer.echo(f"{file} is written. Read it, then: sidecar check --config {file}", err=True)


def _kept_guarded(values: Mapping[str, object], reason: str) -> dict[str, object]:
    """Return the core's values for a file that nobody compares with the delegate script any more."""
    names = settable(Settings)
    return {**{name: value for name, value in values.items() if name in names}, "guarded": reason}


def is_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(kinds: Sequence[type[Section]], values: dict[str, dict[str, object]]) -> None:
    """Ask for what has no value so far, as often as an answer is wrong; adds the answers that differ from defaults."""
    by_table = {kind.table: kind for kind in kinds}
    for question in QUESTIONS:
        kind = by_table.get(question.table)
        has_source = any(values.get(each.table, {}).get(each.name) for each in QUESTIONS if each.table)
        if kind is None or question.name in values.get(question.table, {}) or (question.table and has_source):
            continue
        default = kind.model_fields[question.name].default
        answer = _answer(kind, question, default)
        if answer != default:
            values.setdefault(question.table, {})[question.name] = answer


def _answer(kind: type[Section], question: Question, default: object) -> object:
    while True:
        text = str(typer.prompt(question.text, default=str(default), show_default=default != "", err=True))
        try:
            answer: object = getattr(settings_file.checked(kind, {question.name: text.strip()}), question.name)
        except StartError as error:
            typer.echo(f"  {error}", err=True)
            continue
        return answer


def _head(cantaloupe_file: Path | None, notes: Sequence[str]) -> Sequence[str]:
    lines = [
        f"Settings of iiif-sidecar {sidecar.__version__}, by `sidecar init`: `sidecar serve --config` reads them.",
        "A line that begins with # shows a default and has no effect. `sidecar init --all` names every setting.",
        "Variables go over this file: SIDECAR_WORKERS is `workers`, SIDECAR_JP2_LOSS_DB `loss_db` in the table [jp2].",
    ]
    if cantaloupe_file:
        lines.append(f"Taken over from {cantaloupe_file}, which is not read any more.")
    if notes:
        lines += ["", "What the sidecar does otherwise, or not at all:", *(f"- {note}" for note in notes)]
    return lines


def _write(file: Path, text: str, mode: int, *, force: bool) -> None:
    """Write a file that nobody may read before it has its rights, and replace one by a whole one. Raises StartError."""
    new = file.with_name(f".{file.name}.{os.getpid()}") if force else file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(descriptor)
            new.replace(file)
        except OSError:
            new.unlink()
            raise
    except OSError as error:
        raise StartError(f"{str(error.filename or file).replace(str(new), str(file))}: {error.strerror}") from error
