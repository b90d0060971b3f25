"""Settings in layers, and errors that name the wrong one and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from sidecar.config import Settings, Values, core, load
from sidecar.plugin import Config, Names, RemoteSettings, Section, StartError


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
    """If nothing is set, settings are defaults and have no origin."""
    config = load([Shelf])
    assert (config.section(Shelf).root, core(config).workers, config.origins) == ("/default", 2, {})


def test_layers(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables go over the file, the file over what is below, that over defaults; each value has its origin."""
    toml.write_text('threads = 3\nqueue_size = 3\n[shelf]\nroot = "/toml"\nkinds = ["a", "b"]\n')
    monkeypatch.setenv("SIDECAR_THREADS", "4")
    monkeypatch.setenv("SIDECAR_SHELF_DEPTH", "4")
    below: dict[str, Values] = {
        "c.properties": {
            "": {"threads": 2, "queue_size": 2, "queue_timeout": 2},
            "shelf": {"root": "/below", "depth": 2},
        }
    }
    config = load([Shelf], toml, below)
    settings, shelf = core(config), config.section(Shelf)
    assert (settings.threads, settings.queue_size, settings.queue_timeout, settings.workers) == (4, 3, 2.0, 2)
    assert (shelf.root, shelf.depth, shelf.kinds) == ("/toml", 4, ("a", "b"))
    assert config.origins == {
        ("", "threads"): "SIDECAR_THREADS",
        ("", "queue_size"): str(toml),
        ("", "queue_timeout"): "c.properties",
        ("shelf", "root"): str(toml),
        ("shelf", "kinds"): str(toml),
        ("shelf", "depth"): "SIDECAR_SHELF_DEPTH",
    }


def test_lists_in_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in a variable is words between commas; spaces around them and empty words do not count."""
    monkeypatch.setenv("SIDECAR_SHELF_KINDS", " a, b,,c ")
    assert load([Shelf]).section(Shelf).kinds == ("a", "b", "c")


def test_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SIDECAR_WORKERS=` leaves the default."""
    monkeypatch.setenv("SIDECAR_WORKERS", "")
    assert core(load([])).workers == 2


def test_every_wrong_value_is_reported_at_once(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has a line for each wrong value, with its variable, and the file if it came from one."""
    toml.write_text("workers = 0\n[shelf]\ndepth = 'deep'\n")
    monkeypatch.setenv("SIDECAR_QUEUE_TIMEOUT", "never")
    with pytest.raises(StartError) as caught:
        load([Shelf], toml)
    lines = sorted(str(caught.value).splitlines())
    assert [line.partition(":")[0] for line in lines] == [
        "SIDECAR_QUEUE_TIMEOUT",
        "SIDECAR_SHELF_DEPTH",
        "SIDECAR_WORKERS",
    ]
    assert [f"(from {toml})" in line for line in lines] == [False, True, True]


def test_variable_that_is_not_the_json_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's setting that is a table is read as JSON; what is not JSON is an error like any other."""

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
    """A table that belongs to no plugin is an error that names it."""
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
    """A section that was not loaded has its defaults: tests and embedders name only what they change."""
    config = Config.of(Settings(queue_size=7))
    assert (core(config).queue_size, config.section(Shelf).depth) == (7, 1)


def test_settings_are_frozen() -> None:
    """Settings cannot be changed after they were checked."""
    with pytest.raises(ValueError, match="frozen"):
        core(load([])).queue_size = 3  # type: ignore[misc]  # that is the point


RENAMED = [(kind, old, new) for kind in (Settings, RemoteSettings) for old, new in kind.renamed.items()]


class Far(RemoteSettings):
    """The settings of a source whose bytes come over a network."""

    table: ClassVar[str] = "far"


@pytest.mark.parametrize("kind, old, new", RENAMED, ids=[old for _, old, _ in RENAMED])
def test_former_names_of_settings_are_still_read(
    toml: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Section], old: str, new: str
) -> None:
    """A value under a former name arrives, from the TOML file and, over that, from a variable; both know whence."""
    kind = Settings if kind is Settings else Far
    toml.write_text(f"[far]\n{old} = 5000000\n" if kind is Far else f"{old} = 5000000\n")
    config = load([Far], toml)
    assert getattr(config.section(kind), new) == 5_000_000
    assert config.origins == {(kind.table, new): str(toml)}
    monkeypatch.setenv(kind.variable(old), "6000000")
    config = load([Far], toml)
    assert getattr(config.section(kind), new) == 6_000_000
    assert config.origins == {(kind.table, new): kind.variable(old)}


def test_the_present_name_goes_before_the_former(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both variables set the present name counts; a variable of the former name goes before the TOML file."""
    toml.write_text("queue_size = 1\n")
    monkeypatch.setenv("SIDECAR_QUEUE", "2")
    assert core(load([], toml)).queue_size == 2
    monkeypatch.setenv("SIDECAR_QUEUE_SIZE", "3")
    assert core(load([], toml)).queue_size == 3


@pytest.mark.parametrize("name", ["1", "1:2", "", "a/b", "label;macro"])
def test_names_of_images_beside_a_files_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could be a page, a scale constraint or a part of a path is no name of an image."""
    monkeypatch.setenv("SIDECAR_ASSOCIATED_IMAGES", f'["label", "{name}"]')
    with pytest.raises(StartError, match="SIDECAR_ASSOCIATED_IMAGES"):
        load([])
