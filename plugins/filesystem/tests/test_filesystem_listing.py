"""Listing a folder: which files are images, under which identifiers, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sidecar_filesystem import FilesystemSettings, FilesystemSource
from sidecar_filesystem.place import Place, locate

from sidecar.plugin import SourceError, run_inline

SUFFIXES = frozenset({"jp2", "svs"})


def source(**settings: Any) -> FilesystemSource:
    place = locate(FilesystemSettings(**settings))
    assert place is not None
    return FilesystemSource(place, run_inline)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images, other files, a link out of it and a name that is no text."""
    root = tmp_path / "images"
    for name in ("b.jp2", "a.JP2", "deep/er/c.svs", "text.txt", "page-1.jp2", "é ü.jp2"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "secret.jp2").touch()
    (root / "out.jp2").symlink_to(tmp_path / "secret.jp2")
    (root / "round").symlink_to(root)
    (root / "in.jp2").symlink_to(root / "b.jp2")
    Path(os.fsdecode(bytes(root) + b"/\xff.jp2")).touch()
    return root


def test_images_are_listed(folder: Path) -> None:
    """Files with a suffix of an image are listed at any depth; each identifier leads to its file."""
    found = source(root=str(folder))
    names = found.listed(SUFFIXES, 100)
    assert names == ["a.JP2", "b.jp2", "deep/er/c.svs", "in.jp2", "page-1.jp2", "é ü.jp2"]
    assert all(found.find(name) for name in names)


def test_prefix_and_suffix_are_left_out(folder: Path) -> None:
    """Identifiers have neither the prefix nor the suffix that the settings put around them."""
    assert source(path_prefix=f"{folder}/page-", path_suffix=".jp2").listed(SUFFIXES, 100) == ["1"]


def test_as_many_as_asked_for(folder: Path) -> None:
    """No more are listed than asked for; those at the top come first."""
    assert source(root=str(folder)).listed(SUFFIXES, 2) == ["a.JP2", "b.jp2"]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A folder that cannot be read is an error of the source."""
    place = Place(str(tmp_path), str(tmp_path / "gone"), "", "")
    with pytest.raises(SourceError, match="cannot be listed"):
        FilesystemSource(place, run_inline).listed(SUFFIXES, 10)
