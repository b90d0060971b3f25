"""Plugins become tables, and clashes are told at start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sidecar import hookimpl
from sidecar.config import Config
from sidecar.errors import StartError
from sidecar.native import direct
from sidecar.registry import Plugins, Registry
from sidecar.testing.fakes import GradientDecoder, MemorySource, RawEncoderFactory


class Plugin:
    """A plugin of what it is given."""

    def __init__(self, sources: Iterable[Any] = (), decoders: Iterable[Any] = (), encoders: Iterable[Any] = ()) -> None:
        self._sources, self._decoders, self._encoders = sources, decoders, encoders

    @hookimpl
    def register_sources(self) -> Iterable[Any]:
        """As given."""
        return self._sources

    @hookimpl
    def register_decoders(self) -> Iterable[Any]:
        """As given."""
        return self._decoders

    @hookimpl
    def register_encoders(self) -> Iterable[Any]:
        """As given."""
        return self._encoders


def load(*plugins: object) -> Registry:
    """What plugins register, those installed aside."""
    return Plugins(plugins, installed=False).load(Config({}), direct)


def test_tables() -> None:
    """Decoders are found by suffix, encoders by format, sources in a row."""
    source, decoder, encoder = MemorySource({}), GradientDecoder(), RawEncoderFactory()
    registry = load(Plugin([source], [decoder]), Plugin(encoders=[encoder]))
    assert [*registry.sources] == [source]
    assert registry.decoders == {"gradient": decoder}
    assert registry.encoders == {"raw": encoder}


def test_two_decoders_for_one_suffix() -> None:
    """Two decoders of one suffix are an error that names it."""
    with pytest.raises(StartError, match="'gradient'"):
        load(Plugin(decoders=[GradientDecoder()]), Plugin(decoders=[GradientDecoder()]))


def test_two_encoders_for_one_format() -> None:
    """Two encoders of one format are an error that names it, also within one plugin."""
    with pytest.raises(StartError, match="'raw'"):
        load(Plugin(encoders=[RawEncoderFactory(), RawEncoderFactory()]))


def test_misspelt_hook() -> None:
    """A hook that does not exist is an error, not silence."""

    class Wrong:
        @hookimpl
        def register_source(self) -> Iterable[Any]:
            return ()

    with pytest.raises(StartError, match="register_source"):
        load(Wrong())


def test_close_reaches_each_part_once() -> None:
    """What has something to close is closed once, whatever number of suffixes it stands under."""

    class Closes(GradientDecoder):
        suffixes = frozenset({"one", "two"})
        closed = 0

        def close(self) -> None:
            self.closed += 1

    decoder = Closes()
    load(Plugin([MemorySource({})], [decoder])).close()
    assert decoder.closed == 1


def test_sources_are_asked_in_the_order_of_their_names() -> None:
    """Which source answers first must not depend on the order in which packages were installed."""
    one, two = Plugin([MemorySource({}, "a")]), Plugin([MemorySource({}, "b")])
    assert [source.name for source in load(one, two).sources] == [source.name for source in load(two, one).sources]
