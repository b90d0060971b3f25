"""Packages that bring a plugin: an error at start names the package, its version and what is wrong with it."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoints
from pathlib import Path

import pytest

from sidecar.plugin import API_VERSION, Config, StartError, run_inline
from sidecar.registry import Plugin, Plugins

Install = Callable[[str], Plugins]

DECODER = """
from sidecar.plugin import hookimpl

SIDECAR_API = 1

class Decoder:
    name = "stranger"
    suffixes = frozenset({"x"})

    def open(self, blob):
        raise NotImplementedError

@hookimpl
def register_decoders():
    return [Decoder()]
"""
"""Lacks `recognizes`."""
SETTINGS = """
from sidecar.plugin import Section, hookimpl

SIDECAR_API = 1

class StrangeSettings(Section):
    root: str = ""

@hookimpl
def register_settings():
    return [StrangeSettings]
"""
"""Lacks `table`."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make a package `stranger`, version 1.2, of a module's text, and find it as the only plugin installed."""

    def make(text: str) -> Plugins:
        (tmp_path / "stranger.py").write_text(text)
        described = tmp_path / "stranger-1.2.dist-info"
        described.mkdir()
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.2\n")
        (described / "entry_points.txt").write_text("[sidecar]\nstrange = stranger\n")
        monkeypatch.syspath_prepend(tmp_path)
        return Plugins()

    def only_this(group: str) -> EntryPoints:
        return importlib.metadata.entry_points(name="strange", group=group)

    monkeypatch.setattr("sidecar.registry.entry_points", only_this)
    yield make
    sys.modules.pop("stranger", None)


def test_a_plugin_is_listed_with_its_package(install: Install) -> None:
    """A plugin that declares the API is listed by the entry point's name, with version and name of its package."""
    assert [*install(f"SIDECAR_API = {API_VERSION}\n").found] == [Plugin("strange", "1.2", "stranger")]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", f"declares no SIDECAR_API of the plugin API; this sidecar has version {API_VERSION}"),
        ("SIDECAR_API = 99\n", f"was written for version 99 of the plugin API; this sidecar has version {API_VERSION}"),
        ("import of_some_library\n", r"cannot be imported \(stranger\): ModuleNotFoundError: .*of_some_library"),
    ],
    ids=["no version", "another version", "an import that fails"],
)
def test_a_plugin_that_cannot_be_used(install: Install, text: str, problem: str) -> None:
    """A plugin without the API's version, with another one or that cannot be imported is a StartError of one line."""
    with pytest.raises(StartError, match=f"^stranger 1.2: the plugin {problem}") as caught:
        install(text)
    assert "\n" not in str(caught.value)


def test_a_part_that_lacks_a_member(install: Install) -> None:
    """A decoder that lacks a member of the protocol is a StartError that names package, protocol and member."""
    plugins = install(DECODER)
    with pytest.raises(StartError, match=r"^stranger 1\.2: .* is no Decoder of plugin API 1: it lacks recognizes$"):
        plugins.load(Config({}), run_inline)


def test_a_part_that_has_every_member(install: Install) -> None:
    """The same decoder with the member is registered."""
    plugins = install(
        DECODER.replace("    def open", "    def recognizes(self, head):\n        return False\n\n    def open")
    )
    assert [decoder.name for decoder in plugins.load(Config({}), run_inline).decoders] == ["stranger"]


def test_settings_without_a_table(install: Install) -> None:
    """Settings of a plugin that name no table, and so would share the core's, are a StartError that names them."""
    plugins = install(SETTINGS)
    with pytest.raises(StartError, match=r"stranger\.StrangeSettings: settings of a plugin need a table name"):
        plugins.configure()
