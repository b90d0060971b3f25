"""gunicorn's own log, without access lines."""

from __future__ import annotations

import logging

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # it has no annotations

from sidecar.observability.logging import standard_library
from sidecar.server.gunicorn_log import NoAccessLog


def test_no_access_line_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sidecar's own `logconfig_dict`, by which gunicorn takes them for wanted, none is even put together."""
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    config = Config()
    config.set("logconfig_dict", standard_library("info"))
    log = NoAccessLog(config)
    log.access(None, None, None, None)  # what they are made of is not looked at
    assert log.error_log is logging.getLogger("gunicorn.error")
