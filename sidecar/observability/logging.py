"""JSON log lines on standard error: the sidecar's own, gunicorn's and those of libraries, all of one form."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog
from structlog.typing import Processor

from sidecar.observability.redaction import redact

log = structlog.get_logger("sidecar")

_STAMPED: Final[list[Processor]] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_RENDERED: Final[list[Processor]] = [
    structlog.processors.format_exc_info,
    redact,
    structlog.processors.JSONRenderer(),
]


def configure(level: str) -> None:
    """Send the sidecar's own log lines from `level` on to standard error."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_STAMPED, *_RENDERED],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def standard_library(level: str) -> dict[str, Any]:
    """Return a `logging.config.dictConfig` that gives gunicorn's messages and those of libraries the same form."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "foreign_pre_chain": _STAMPED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_RENDERED],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": {"level": level.upper(), "handlers": ["stderr"], "propagate": False}},
    }
