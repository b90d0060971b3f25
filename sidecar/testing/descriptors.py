"""Whether open files are closed again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_OPEN: Final = Path("/proc/self/fd")


@contextmanager
def all_come_back() -> Iterator[None]:
    """Fail if the block leaves files open. Skips if the system does not list open files (it needs /proc)."""
    if not _OPEN.is_dir():
        pytest.skip("this system does not list open files in /proc")
    before = _open_files()
    yield
    gc.collect()
    after = _open_files()
    left = {file for number, file in after.items() if before.get(number) != file}
    assert not left, f"still open: {sorted(left)}"  # noqa: S101  # a test's assertion, shared by several


def _open_files() -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in _OPEN.iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:  # the descriptor of the listing itself, and what other threads close meanwhile
            continue
    return found
