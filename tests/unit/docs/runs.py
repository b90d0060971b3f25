"""The example runs in the docs, made with the images of the tests. Run as a script, this makes them anew."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

from typer.testing import CliRunner

from sidecar.cli.main import make_cli
from sidecar.registry import Plugins
from tests.unit.docs.tables import PAGES, ROOT

IMAGES: Final = ROOT / "tests" / "data" / "images"
SHOWN_ROOT: Final = "/images"
_RUN: Final = re.compile(r"<!-- run: (.+?) -->\n```\n(.*?)```\n", re.DOTALL)
_CHANGING: Final = (
    # Of one machine or one moment: times, sizes that follow from the memory, digests, dates.
    re.compile(r"last-modified .*"),
    re.compile(r"[0-9a-f]{32}"),
    re.compile(r"[\d.,]+ ?(?:ms|s|bytes|kB|MB|GB)?\b"),
)


class ExampleRun(NamedTuple):
    """A command and what a page shows of its output."""

    page: Path
    command: str
    shown: str


def runs() -> Iterator[ExampleRun]:
    """Yield the runs of all pages."""
    for page in PAGES:
        for command, block in _RUN.findall(page.read_text(encoding="utf-8")):
            yield ExampleRun(page, command, block.partition("\n")[2])


def output(command: str) -> str:
    """Run a command with its variables, in the folder of the images; returns what it prints, as a page shows it."""
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words[: words.index("sidecar")])
    arguments = words[words.index("sidecar") + 1 :]
    with chdir(IMAGES), patch.dict(os.environ, _environment(variables), clear=True):
        done = CliRunner().invoke(make_cli(Plugins()), arguments)
    lines = done.output.replace(str(IMAGES), SHOWN_ROOT).splitlines()
    return "".join(f"{line}\n" for line in lines)


def _environment(variables: Mapping[str, str]) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    return {**kept, "SIDECAR_FILESYSTEM_ROOT": str(IMAGES), **variables}


def lasting(text: str) -> list[str]:
    """Return the lines without what another machine or another moment changes."""
    for pattern in _CHANGING:
        text = pattern.sub("#", text)
    # Lines are wrapped elsewhere if numbers have more digits.
    return text.split()


def made_anew(text: str) -> str:
    """Return a page's text with all runs made anew."""
    return _RUN.sub(
        lambda found: f"<!-- run: {found[1]} -->\n```\n$ {found[1]}\n{output(found[1])}```\n",
        text,
    )


if __name__ == "__main__":
    for each in PAGES:
        before = each.read_text(encoding="utf-8")
        if (after := made_anew(before)) != before:
            each.write_text(after, encoding="utf-8")
