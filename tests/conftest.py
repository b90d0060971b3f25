"""For all tests: where the data lies, and how Hypothesis draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# The same examples every time, and no deadline: other processes share the machine.
settings.register_profile("sidecar", derandomize=True, deadline=None)
settings.load_profile("sidecar")

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def logging() -> Iterator[None]:
    """Undo what a test has set up of logging: it writes to what was standard error at that moment."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder of the images that a real Cantaloupe was asked for."""
    return DATA / "images"
