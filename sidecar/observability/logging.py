"""Log lines on standard error, in JSON or as text: the sidecar's, gunicorn's and libraries', all of one form."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, Literal, TypeAlias

import structlog
from structlog.typing import Processor

from sidecar.observability.redaction import redact

log = structlog.get_logger("sidecar")

_STAMPED: Final[list[Processor]] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
Form: TypeAlias = Literal["json", "text"]


def _rendered(form: Form) -> list[Processor]:
    """Return what makes a line of its fields, without secrets; tracebacks are text by then."""
    last: Processor = structlog.processors.JSONRenderer()
    if form == "text":
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return [structlog.processors.format_exc_info, redact, last]


def configure(level: str, form: Form = "json") -> None:
    """Send the sidecar's own log lines from `level` on to standard error."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_STAMPED, *_rendered(form)],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def standard_library(level: str, form: Form = "json") -> dict[str, Any]:
    """Return a `logging.config.dictConfig` that gives gunicorn's messages and those of libraries the same form."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "foreign_pre_chain": _STAMPED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendered(form)],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": {"level": level.upper(), "handlers": ["stderr"], "propagate": False}},
    }
