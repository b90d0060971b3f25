"""A Containerfile, parsed, and its steps done in folders where no container can be built.

It knows what ours uses: FROM, RUN, COPY (also --from), WORKDIR, ENV, USER, EXPOSE, HEALTHCHECK, ENTRYPOINT, CMD.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.packaging import roots

FILE: Final = roots.ROOT / "Containerfile"
_STEPS: Final = frozenset(
    {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
)


@dataclass(slots=True)
class Stage:
    """One stage."""

    image: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str:
        """Return what the last step of a kind says; empty if there is none."""
        return next((text for each, text in reversed(self.steps) if each == word), "")

    @property
    def variables(self) -> Mapping[str, str]:
        """What ENV sets."""
        pairs = (pair for word, text in self.steps if word == "ENV" for pair in shlex.split(text))
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def command(self) -> Sequence[str]:
        """What runs in the end."""
        return [*json.loads(self.last("ENTRYPOINT")), *json.loads(self.last("CMD"))]

    @property
    def health(self) -> Sequence[str]:
        """What asks whether it is well."""
        return [*json.loads(self.last("HEALTHCHECK").partition("CMD")[2])]


def stages(text: str) -> Sequence[Stage]:
    """Return the stages of a file. Raises ValueError for a step that is not known here."""
    found: list[Stage] = []
    for word, rest in _instructions(text):
        if word not in _STEPS:
            raise ValueError(f"{word}: not known here")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            found.append(Stage(image, name or str(len(found))))
        else:
            found[-1].steps.append((word, rest))
    return found


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word.upper(), rest.strip()


def replay(every: Sequence[Stage], base: Path, context: Path) -> Path:
    """Do all steps, each stage in a copy of `base`; returns the folder of the last. Raises CalledProcessError."""
    made: dict[str, Path] = {}
    for stage in every:
        made[stage.name] = roots.copy(base, f"container-{stage.name}")
        _build(stage, made, context)
    return made[every[-1].name]


def _build(stage: Stage, made: Mapping[str, Path], context: Path) -> None:
    root, at = made[stage.name], "/"
    for word, text in stage.steps:
        if word == "WORKDIR":
            at = text
            (root / at[1:]).mkdir(parents=True, exist_ok=True)
        elif word == "RUN":
            roots.run(root, ["sh", "-c", text], at=at)
        elif word == "COPY":
            _copy(shlex.split(text), made, root / at[1:], root, context)


def _copy(words: Sequence[str], made: Mapping[str, Path], at: Path, root: Path, context: Path) -> None:
    source = context
    if words[0].startswith("--from="):
        source, words = made[words[0].removeprefix("--from=")], words[1:]
    *names, target = words
    place = root / target[1:] if target.startswith("/") else at / target
    if target.endswith("/"):
        place.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = source / name.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(path, place)


def build_context(folder: Path) -> Path:
    """Fill a folder with what `.dockerignore` lets through of the files that are committed or new."""
    shown = (line.strip() for line in (roots.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines())
    kept = [line[1:] for line in shown if line.startswith("!")]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *kept],
        cwd=roots.ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if not re.match(r"plugins/[^/]+/tests/", name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(roots.ROOT / name, folder / name)
    return folder
