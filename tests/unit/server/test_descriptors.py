"""Descriptors are shared out among connections, opened images and threads, whatever the limit is."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Settings
from sidecar.plugin import StartError
from sidecar.server import descriptors
from sidecar.server.descriptors import CONNECTIONS, needed, shared_out


@given(limit=st.integers(0, 10_000), threads=st.integers(1, 64), kept=st.integers(1, 500))
def test_what_is_shared_out_fits(limit: int, threads: int, kept: int) -> None:
    """No limit is exceeded, fewer descriptors than enough are reported, and too few are an error."""
    settings = Settings(threads=threads, reader_cache_size=kept)
    if limit < descriptors.fewest(settings):
        with pytest.raises(StartError, match=f"the limit of open files is {limit} "):
            shared_out(settings, limit)
        return
    found = shared_out(settings, limit)
    assert 1 <= found.connections <= CONNECTIONS
    assert 1 <= found.readers <= kept
    assert 2 * found.connections + found.readers + 2 * threads < limit
    assert bool(found.warning) == (limit < needed(settings))


def test_the_own_limit_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A soft limit below what workers need is raised to that, not beyond, and never above the hard limit."""
    settings = Settings()
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: asked.append(limits))
    for limits in ((1024, 524_288), (1024, 1500), (100_000, 524_288)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, limits=limits: limits)
        descriptors.claim(settings)
    assert asked == [(needed(settings), 524_288), (1500, 1500)]
