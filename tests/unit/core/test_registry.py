"""Plugins become a registry; what clashes or lacks something is an error at start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sidecar.config import Settings
from sidecar.plugin import Config, StartError, hookimpl, run_inline
from sidecar.registry import Plugins, Registry
from sidecar.testing.fakes import GradientDecoder, MemorySource, RawEncoderFactory


class Plugin:
    """A plugin that registers what it is made with."""

    def __init__(self, sources: Iterable[Any] = (), decoders: Iterable[Any] = (), encoders: Iterable[Any] = ()) -> None:
        self._sources, self._decoders, self._encoders = sources, decoders, encoders

    @hookimpl
    def register_sources(self) -> Iterable[Any]:
        """Register the sources."""
        return self._sources

    @hookimpl
    def register_decoders(self) -> Iterable[Any]:
        """Register the decoders."""
        return self._decoders

    @hookimpl
    def register_encoders(self) -> Iterable[Any]:
        """Register the encoders."""
        return self._encoders


class Named(GradientDecoder):
    """A decoder of another name, and of the same suffix."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def load(*plugins: object, **settings: Any) -> Registry:
    """Return what plugins register, without those that are installed."""
    return Plugins(plugins, installed=False).load(Config.of(Settings(**settings)), run_inline)


def test_what_plugins_register() -> None:
    """Sources and decoders are kept in order, encoders by format, whichever plugin they come from."""
    source, decoder, encoder = MemorySource({}), GradientDecoder(), RawEncoderFactory()
    registry = load(Plugin([source], [decoder]), Plugin(encoders=[encoder]))
    assert [*registry.sources] == [source]
    assert [*registry.decoders] == [decoder]
    assert registry.encoders == {"raw": encoder}


def test_two_decoders_of_one_name() -> None:
    """Two decoders of one name are an error that names it."""
    with pytest.raises(StartError, match="'gradient'"):
        load(Plugin(decoders=[GradientDecoder()]), Plugin(decoders=[GradientDecoder()]))


def test_two_sources_of_one_name() -> None:
    """Two sources of one name are an error that names it."""
    with pytest.raises(StartError, match="'memory'"):
        load(Plugin([MemorySource({})]), Plugin([MemorySource({})]))


def test_two_decoders_for_one_suffix() -> None:
    """Two decoders may claim one suffix: both are registered."""
    registry = load(Plugin(decoders=[Named("b")]), Plugin(decoders=[Named("a")]))
    assert [decoder.name for decoder in registry.decoders] == ["a", "b"]


def test_two_encoders_for_one_format() -> None:
    """Two encoders of one format are an error that names it, also within one plugin."""
    with pytest.raises(StartError, match="'raw'"):
        load(Plugin(encoders=[RawEncoderFactory(), RawEncoderFactory()]))


def test_misspelt_hook() -> None:
    """A hook that does not exist is an error."""

    class Wrong:
        @hookimpl
        def register_source(self) -> Iterable[Any]:
            return ()

    with pytest.raises(StartError, match="register_source"):
        load(Wrong())


def test_a_hook_that_returns_nothing() -> None:
    """A hook that returns None, as functions without a return do, registers nothing."""

    class Nothing:
        @hookimpl
        def register_sources(self) -> None:
            pass

    assert [*load(Nothing()).sources] == []


def test_close_reaches_each_part_once() -> None:
    """A decoder that has something to close is closed once, however many suffixes it claims."""

    class Closes(GradientDecoder):
        suffixes = frozenset({"one", "two"})
        closed = 0

        def close(self) -> None:
            self.closed += 1

    decoder = Closes()
    load(Plugin([MemorySource({})], [decoder])).close()
    assert decoder.closed == 1


def test_sources_are_asked_in_the_order_of_their_names() -> None:
    """Which source answers first does not depend on the order in which packages were installed."""
    one, two = Plugin([MemorySource({}, "a")]), Plugin([MemorySource({}, "b")])
    assert [source.name for source in load(one, two).sources] == ["a", "b"]
    assert [source.name for source in load(two, one).sources] == ["a", "b"]


def test_settings_order_sources_and_decoders() -> None:
    """Those that a setting names come first and in its order, the others after them by name."""
    plugin = Plugin([MemorySource({}, name) for name in "abcd"], [Named(name) for name in "abcd"])
    registry = load(plugin, sources=("d", "b"), decoders=("c",))
    assert [source.name for source in registry.sources] == ["d", "b", "a", "c"]
    assert [decoder.name for decoder in registry.decoders] == ["c", "a", "b", "d"]


@pytest.mark.parametrize("setting", ["sources", "decoders"])
def test_unknown_name_in_an_order(setting: str) -> None:
    """A name that nothing has is an error that shows the variable, the name and the names there are."""
    plugin = Plugin([MemorySource({}, "here")], [Named("here")])
    with pytest.raises(StartError, match=f"SIDECAR_{setting.upper()}: there is no elsewhere; there are here"):
        load(plugin, **{setting: ("here", "elsewhere")})
