"""Settings in layers, and texts that say which one is wrong and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from sidecar.config import Config, Names, Section, Settings, Values, load
from sidecar.errors import StartError


class Shelf(Section):
    """A plugin's section."""

    table: ClassVar[str] = "shelf"
    root: str = "/default"
    """Where."""
    depth: int = Field(1, ge=1)
    """How deep."""
    kinds: Names = ()
    """Which."""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """An empty file to write settings into."""
    return tmp_path / "sidecar.toml"


def test_defaults_have_no_origin() -> None:
    """Nothing set: defaults, and none of them came from anywhere."""
    config = load([Shelf])
    assert (config.section(Shelf).root, config.core.workers, config.origins) == ("/default", 2, {})


def test_layers(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable lies over the file, the file over what is below, that over defaults; each tells where it came from."""
    toml.write_text('threads = 3\nqueue = 3\n[shelf]\nroot = "/toml"\nkinds = ["a", "b"]\n')
    monkeypatch.setenv("SIDECAR_THREADS", "4")
    monkeypatch.setenv("SIDECAR_SHELF_DEPTH", "4")
    below: dict[str, Values] = {
        "c.properties": {"": {"threads": 2, "queue": 2, "patience": 2}, "shelf": {"root": "/below", "depth": 2}}
    }
    config = load([Shelf], toml, below)
    core, shelf = config.core, config.section(Shelf)
    assert (core.threads, core.queue, core.patience, core.workers) == (4, 3, 2.0, 2)
    assert (shelf.root, shelf.depth, shelf.kinds) == ("/toml", 4, ("a", "b"))
    assert config.origins == {
        ("", "threads"): "SIDECAR_THREADS",
        ("", "queue"): str(toml),
        ("", "patience"): "c.properties",
        ("shelf", "root"): str(toml),
        ("shelf", "kinds"): str(toml),
        ("shelf", "depth"): "SIDECAR_SHELF_DEPTH",
    }


def test_lists_in_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words parted by commas, spaces around them aside."""
    monkeypatch.setenv("SIDECAR_SHELF_KINDS", " a, b,,c ")
    assert load([Shelf]).section(Shelf).kinds == ("a", "b", "c")


def test_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SIDECAR_WORKERS=` leaves the default."""
    monkeypatch.setenv("SIDECAR_WORKERS", "")
    assert load([]).core.workers == 2


def test_every_wrong_value_is_told_at_once(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each, with its variable, and the file where it came from one."""
    toml.write_text("workers = 0\n[shelf]\ndepth = 'deep'\n")
    monkeypatch.setenv("SIDECAR_PATIENCE", "never")
    with pytest.raises(StartError) as caught:
        load([Shelf], toml)
    lines = sorted(str(caught.value).splitlines())
    assert [line.partition(":")[0] for line in lines] == ["SIDECAR_PATIENCE", "SIDECAR_SHELF_DEPTH", "SIDECAR_WORKERS"]
    assert [f"(from {toml})" in line for line in lines] == [False, True, True]


def test_variable_that_is_not_the_json_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's setting with parts of its own is read as JSON; what is none is told by its variable like the rest."""

    class Shelves(Section):
        table: ClassVar[str] = "shelves"
        depths: Mapping[str, int] | None = None

    monkeypatch.setenv("SIDECAR_SHELVES_DEPTHS", '{"top": 3}')
    assert load([Shelves]).section(Shelves).depths == {"top": 3}
    monkeypatch.setenv("SIDECAR_SHELVES_DEPTHS", "top: 3")
    monkeypatch.setenv("SIDECAR_WORKERS", "many")
    with pytest.raises(StartError) as caught:
        load([Shelves])
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["SIDECAR_WORKERS", "SIDECAR_SHELVES_DEPTHS"]


def test_unknown_key_in_a_file(toml: Path) -> None:
    """A key that is no setting is an error that names it."""
    toml.write_text("thread = 3\n")
    with pytest.raises(StartError, match=f"SIDECAR_THREAD: .*{toml.name}"):
        load([], toml)


def test_unknown_table_in_a_file(toml: Path) -> None:
    """A table that belongs to no plugin is an error as a key is: else a slip of the pen is silence."""
    toml.write_text('[shelv]\nroot = "/images"\n')
    with pytest.raises(StartError, match="shelv"):
        load([Shelf], toml)


@pytest.mark.parametrize("content", [b"threads = \n", b"# caf\xe9\n"], ids=["no TOML", "no UTF-8"])
def test_file_that_cannot_be_read(toml: Path, content: bytes) -> None:
    """A file that is no TOML or not UTF-8 is a StartError that names it."""
    toml.write_bytes(content)
    with pytest.raises(StartError, match=toml.name):
        load([], toml)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that is missing is a StartError that names it."""
    with pytest.raises(StartError, match=r"gone\.toml"):
        load([], tmp_path / "gone.toml")


def test_section_that_was_not_loaded() -> None:
    """A section nobody loaded has its defaults: tests and embedders name only what they change."""
    config = Config.of(Settings(queue=7))
    assert (config.core.queue, config.section(Shelf).depth) == (7, 1)


def test_settings_are_frozen() -> None:
    """What was checked once stays as it was."""
    with pytest.raises(ValueError, match="frozen"):
        load([]).core.queue = 3  # type: ignore[misc]  # that is the point
