"""Caches and tallies: names that modules declare, counted for all and for the request that is worked on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from sidecar.observability import counted
from sidecar.observability.counted import CountedCache, Tally
from sidecar.observability.work import CURRENT, Work


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let names that the tests declare be forgotten."""
    monkeypatch.setattr(counted, "CACHES", {})
    monkeypatch.setattr(counted, "TALLY_NAMES", {})
    yield
    CURRENT.set(None)


def test_lookups_of_a_cache() -> None:
    """Hits and misses of a declared cache are counted."""
    cache = CountedCache("test_things", "things")
    labels = {"cache": "test_things", "result": "hit"}
    cache.looked_up(hits=2, misses=1)
    assert REGISTRY.get_sample_value("sidecar_cache_lookups_total", labels) == 2
    assert REGISTRY.get_sample_value("sidecar_cache_lookups_total", {**labels, "result": "miss"}) == 1


def test_a_tally_is_counted_for_the_request_too() -> None:
    """What a plugin counts is in the metrics and with the work of the request, if there is one; 0 is in neither."""
    tally = Tally("test_left_out", "parts that are left out")
    tally.add(3)
    work = Work()
    CURRENT.set(work)
    tally.add(0)
    assert work.tallies == {}
    tally.add(4)
    tally.add()
    assert work.tallies == {"test_left_out": 5}
    assert REGISTRY.get_sample_value("sidecar_tallies_total", {"tally": "test_left_out"}) == 8


def test_the_public_api_loads_no_metrics() -> None:
    """The master, which imports it before the workers' shared folder is there, does not load prometheus_client."""
    code = "import sys, sidecar.plugin, sidecar.config; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["", "Upper", "with-dash", "a" * 60])
def test_names_are_checked(name: str) -> None:
    """A name that would not do as a label or an attribute is refused."""
    for kind in (CountedCache, Tally):
        with pytest.raises(ValueError, match="should be"):
            kind(name, "something")


def test_one_name_means_one_thing() -> None:
    """The same thing may be declared again, as by a module that is loaded twice; another under its name may not."""
    Tally("test_twice", "one thing")
    Tally("test_twice", "one thing")
    with pytest.raises(ValueError, match="counted already"):
        Tally("test_twice", "another")
