"""Spans: stages of a request, timed where the work is, in greenlets and native threads alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from sidecar.observability.metrics import STAGES

Stage: TypeAlias = Literal["queue", "open", "processor", "fetch", "decode", "encode"]


@contextmanager
def span(stage: Stage) -> Iterator[None]:
    """Time one piece of work of a stage. Safe in any thread."""
    began = time.perf_counter()
    try:
        yield
    finally:
        STAGES.labels(stage).observe(time.perf_counter() - began)
