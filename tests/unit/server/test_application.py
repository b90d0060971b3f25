"""The application as a worker of gunicorn, or AWS Lambda, loads it."""

from __future__ import annotations

import pytest

from sidecar.observability import logging
from sidecar.registry import Plugins, Registry
from sidecar.server import shared_dir
from sidecar.server.application import get_app


def test_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of large responses make room for those of small ones, and work that nobody waits for, for both."""
    monkeypatch.delenv(shared_dir.VARIABLE, raising=False)
    monkeypatch.setattr(logging, "configure", lambda *_: None)
    monkeypatch.setattr(Plugins, "load", lambda *_: Registry([], [], {}))
    worker = get_app({"this test": {"": {"sandbox": "off"}}})
    renderer = worker._parts.renderer
    worker.close()
    assert [pool._nice for pool in (renderer.pool, renderer.bulk, renderer.pool.background)] == [0, 5, 10]
