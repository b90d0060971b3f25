"""gunicorn's log without its access lines: the sidecar logs each request itself, when it is really over."""

from __future__ import annotations

from typing import Final

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # it has no annotations


class NoAccessLog(Logger):  # type: ignore[misc]  # as above
    """gunicorn would make each line and then drop it: with a `logconfig_dict` it takes access lines for wanted."""

    access_log_enabled: Final = False
